"""Nothing but public and named hosts is reached, and no answer takes more than its limits, whatever a server does."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.steps.outside import _network as network
from app.steps.outside.client import Answer, Limits, Outside, Request
from app.steps.outside.trouble import PassingError, patiently, retry_after
from app.steps.outside.unpacking import gunzipped
from app.work.step_type import PermanentError

from ..loopback import Asked, Reply, Site, serving, to

HERE = ["127.0.0.1"]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def fetched(url: str, *, allow: list[str] = HERE, **limits: Any) -> Answer:
    async with Outside(allow) as outside:
        return await outside.fetch(Request(url), Limits(**limits))


def names(monkeypatch: pytest.MonkeyPatch, **hosts: list[str]) -> list[str]:
    """Lets names resolve to addresses, one list after the other; returns the names that were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        asked.append(name)
        if name not in hosts:
            return real(host, port, *rest, **options)
        addresses = hosts[name].pop(0) if len(hosts[name]) > 1 else hosts[name][0]
        found = []
        for address in addresses.split():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            found.append((family, socket.SOCK_STREAM, 6, "", (address, port)))
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "①②⑦.⓪.⓪.①",
    ],
)
async def test_loopback_is_not_reached_however_it_is_spelt(site: Site, host: str) -> None:
    with pytest.raises(PermanentError, match=r"not a public address|is not known|not a URL"):
        await fetched(site.url(host=host), allow=["elsewhere.example"])
    assert site.connections == 0


async def test_a_host_that_is_named_is_reached(site: Site) -> None:
    site.routes["/"] = Reply("hello")
    assert (await fetched(site.url(host="localhost"), allow=["localhost"])).content == b"hello"
    assert (await fetched(site.url(), allow=[f"127.0.0.1:{site.port}"])).content == b"hello"
    with pytest.raises(PermanentError, match=r"unless allow_hosts names '127\.0\.0\.1'"):
        await fetched(site.url(), allow=["localhost"])


async def test_a_redirect_leads_to_no_private_host(site: Site) -> None:
    site.routes["/"] = to(site.url("/secret", host="localhost"))
    with pytest.raises(PermanentError, match=r"localhost \(.*\) is not a public address"):
        await fetched(site.url())
    assert site.paths() == ["/"]


async def test_a_name_that_resolves_to_another_address_the_second_time_gains_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names(monkeypatch, **{"rebind.example": ["192.0.2.1", "127.0.0.1"]})
    for _ in range(2):
        with pytest.raises(PermanentError, match=r"rebind\.example"):
            await fetched(site.url(host="rebind.example"))
    assert asked == ["rebind.example"] * 2 and site.connections == 0


async def test_the_address_that_was_checked_is_the_one_connected_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names(monkeypatch, **{"public.example": ["127.0.0.1", "192.0.2.1"]})
    site.routes["/"] = lambda asked: Reply(asked.headers["host"])
    monkeypatch.setattr(network, "is_public", lambda address: address == "127.0.0.1")
    answer = await fetched(site.url(host="public.example"), allow=[])
    assert answer.content == f"public.example:{site.port}".encode()
    assert [name for name in asked if name == "public.example"] == ["public.example"], "resolved once, and checked"


async def test_of_several_addresses_only_the_public_are_tried(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, **{"mixed.example": ["10.0.0.1 127.0.0.1 ::1"]})
    tried: list[str] = []

    async def connect_tcp(self: Any, host: str, *rest: Any) -> Any:
        tried.append(host)
        raise network.httpcore.ConnectError("nobody there")

    monkeypatch.setattr(network.httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    monkeypatch.setattr(network, "is_public", lambda address: address in ("127.0.0.1", "::1"))
    with pytest.raises(PassingError, match="nobody there"):
        await fetched(site.url(host="mixed.example"), allow=[])
    assert tried == ["127.0.0.1", "::1"]


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    async with serving({"*": Reply("proxied")}) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        (tmp_path / "netrc").write_text("default login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        site.routes["/"] = Reply("direct")
        assert (await fetched(site.url())).content == b"direct"
        assert "authorization" not in site.asked[0].headers and proxy.connections == 0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://a.example/", "does not begin with http"),
        ("file:///etc/passwd", "does not begin with http"),
        ("/path", "does not begin with http"),
        ("http://", "does not begin with http"),
        ("http://user:secret@a.example/", "has a user or password"),
        ("http://a.example:99999/", "is not a URL"),
        ("http://a\nb/", "is not a URL"),
        ("http://a.example/" + "x" * 5000, "more than 4,000 characters"),
    ],
)
async def test_what_is_no_url_to_ask_is_refused(url: str, why: str) -> None:
    with pytest.raises(PermanentError, match=why):
        await fetched(url)


async def test_an_unknown_host_is_permanent_and_a_resolver_in_trouble_is_passing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for errno, kind in ((socket.EAI_NONAME, PermanentError), (socket.EAI_AGAIN, PassingError)):

        def getaddrinfo(*_: Any, errno: int = errno, **__: Any) -> None:
            raise socket.gaierror(errno, "no luck")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(kind, match=r"gone\.example"):
            await fetched("http://gone.example/")


async def test_a_refused_connection_is_passing(site: Site) -> None:
    async with serving() as gone:
        url = gone.url()
    with pytest.raises(PassingError, match="cannot be reached"):
        await fetched(url)


async def test_redirects_are_followed_up_to_the_limit(site: Site) -> None:
    site.routes |= {"/a": to("b"), "/b": to("/c?x=1", 301), "/c": Reply("there"), "/loop": to("/loop")}
    answer = await fetched(site.url("/a"), redirects=2)
    assert (answer.content, answer.url) == (b"there", site.url("/c?x=1"))
    for path in ("/a", "/loop"):
        with pytest.raises(PermanentError, match="more than 1 redirects"):
            await fetched(site.url(path), redirects=1)


@pytest.mark.parametrize("where", ["ftp://a.example/", "http://a:b/", "http://u:p@a.example/", "javascript:alert(1)"])
async def test_a_redirect_to_no_url_is_refused(site: Site, where: str) -> None:
    site.routes["/"] = to(where)
    with pytest.raises(PermanentError, match="not a URL"):
        await fetched(site.url())


async def test_a_redirect_to_another_origin_gets_neither_headers_nor_body(site: Site) -> None:
    site.routes["/here"] = to("/there", 307)
    async with serving({"*": Reply("other")}) as other:
        site.routes["/away"] = to(other.url("/there"), 307)
        secret = {"X-Key": "s3cret", "Accept": "text/plain"}
        async with Outside(HERE) as outside:
            await outside.fetch(Request(site.url("/away"), headers=secret), Limits())
            assert "x-key" not in other.asked[0].headers and other.asked[0].headers["accept"] == "text/plain"
            await outside.fetch(Request(site.url("/here"), "POST", secret, b"body"), Limits())
            assert site.asked[-1].headers["x-key"] == "s3cret" and site.asked[-1].body == b"body"
            with pytest.raises(PermanentError, match="redirects what is sent to another host"):
                await outside.fetch(Request(site.url("/away"), "POST", secret, b"body"), Limits())


async def test_a_redirected_form_becomes_a_get(site: Site) -> None:
    site.routes |= {"/form": to("/done", 303), "/done": Reply("ok")}
    async with Outside(HERE) as outside:
        await outside.fetch(Request(site.url("/form"), "POST", {"Content-Type": "text/plain"}, b"x"), Limits())
    assert (site.asked[-1].method, site.asked[-1].body) == ("GET", b"")
    assert "content-type" not in site.asked[-1].headers


async def test_no_cookie_is_kept(site: Site) -> None:
    site.routes["/"] = Reply(headers={"Set-Cookie": "a=b; Path=/"})
    async with Outside(HERE) as outside:
        for _ in range(2):
            await outside.fetch(Request(site.url()), Limits())
    assert all("cookie" not in asked.headers for asked in site.asked)


def packed(content: bytes, wbits: int = 31) -> bytes:
    stream = zlib.compressobj(9, wbits=wbits)
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", packed(b"hello")),
        ("x-gzip", packed(b"hel") + packed(b"lo")),
        ("deflate", packed(b"hello", 15)),
        ("deflate", packed(b"hello", -15)),
        ("identity", b"hello"),
        ("", b"hello"),
    ],
)
async def test_encodings_are_unpacked(site: Site, encoding: str, body: bytes) -> None:
    site.routes["/"] = Reply(body, headers={"Content-Encoding": encoding})
    assert (await fetched(site.url())).content == b"hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "unknown"])
async def test_an_encoding_nobody_asked_for_is_refused(site: Site, encoding: str) -> None:
    site.routes["/"] = Reply(packed(packed(b"x" * 1000)), headers={"Content-Encoding": encoding})
    with pytest.raises(PermanentError, match="was not asked for"):
        await fetched(site.url())


@pytest.mark.parametrize("body", [packed(b"hello")[:-9], b"not gzip", packed(b"hello") + b"rest"])
async def test_a_broken_encoding_is_told(site: Site, body: bytes) -> None:
    site.routes["/"] = Reply(body, headers={"Content-Encoding": "gzip"})
    with pytest.raises(PermanentError, match="cannot be unpacked"):
        await fetched(site.url())


async def test_a_bomb_is_unpacked_no_further_than_the_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(b"\0" * (50 << 20))
    site.routes["/"] = Reply(bomb, headers={"Content-Encoding": "gzip"})
    unpacked: list[int] = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, wbits: int) -> None:
            self.stream = real(wbits)

        def decompress(self, data: bytes, room: int) -> bytes:
            part = self.stream.decompress(data, room)
            unpacked.append(len(part))
            return part

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(PermanentError, match="more than 100,000 bytes"):
        await fetched(site.url(), size=100_000)
    assert sum(unpacked) == 100_001


async def test_empty_streams_without_end_are_cut_off(site: Site) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(packed(b"") * 100)
            await writer.drain()

    site.routes["/"] = endless
    with pytest.raises(PermanentError, match="more than 10,000 bytes"):
        await fetched(site.url(), size=10_000)


async def test_an_answer_that_announces_too_much_is_not_read(site: Site) -> None:
    async def huge(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")

    site.routes["/"] = huge
    with pytest.raises(PermanentError, match="more than 10,485,760 bytes"):
        await fetched(site.url())


async def test_an_endless_answer_is_cut_off_at_the_limit(site: Site) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    site.routes["/"] = endless
    with pytest.raises(PermanentError, match="more than 5,000 bytes"):
        await fetched(site.url(), size=5000)


async def test_exactly_the_limit_fits(site: Site) -> None:
    site.routes["/"] = Reply(packed(b"x" * 1000), headers={"Content-Encoding": "gzip"})
    assert len((await fetched(site.url(), size=1000)).content) == 1000
    with pytest.raises(PermanentError, match="more than 999 bytes"):
        await fetched(site.url(), size=999)


async def test_an_answer_in_drips_ends_with_the_time_for_the_whole_of_it(site: Site) -> None:
    dripped = asyncio.Event()

    async def drips(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:  # each drip comes long before a wait for one byte would give up
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)
            dripped.set()

    site.routes["/"] = drips
    with pytest.raises(PassingError, match=r"took longer than 0\.2 s"):
        await fetched(site.url(), seconds=0.2)
    assert dripped.is_set()


async def test_drips_through_redirects_share_one_time(site: Site) -> None:
    async def slowly_away(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(to("/").wire())

    site.routes["/"] = slowly_away
    with pytest.raises(PassingError, match=r"took longer than 0\.2 s"):
        await fetched(site.url(), seconds=0.2, redirects=1000)


async def test_cancelling_is_no_timeout(site: Site) -> None:
    arrived = asyncio.Event()

    async def hangs(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    site.routes["/"] = hangs
    task = asyncio.create_task(fetched(site.url()))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_a_server_that_does_not_speak_http_is_told(site: Site, wire: bytes) -> None:
    async def speaks(writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        writer.close()

    site.routes["/"] = speaks
    with pytest.raises(PassingError, match="cannot be reached"):
        await fetched(site.url())


async def test_a_body_that_is_not_wanted_is_not_read(site: Site) -> None:
    async def image(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n")

    site.routes["/"] = image
    async with Outside(HERE) as outside:
        answer = await outside.fetch(Request(site.url()), Limits(), lambda a: a.media_type == "text/html")
    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "content_type", "text", "encoding"),
    [
        ("größe".encode(), "text/html; charset=utf-8", "größe", "utf-8"),
        ("größe".encode("latin-1"), "text/html; charset=ISO-8859-1", "größe", "cp1252"),
        ("“größe”".encode("cp1252"), "text/html; charset=ISO-8859-1", "“größe”", "cp1252"),
        ("größe".encode("utf-8-sig"), "text/html; charset=windows-1252", "größe", "utf-8-sig"),
        ("größe".encode("utf-16"), "text/html; charset=utf-8", "größe", "utf-16"),
        (b'<meta charset="koi8-r">' + "слово".encode("koi8-r"), "text/html", None, "koi8-r"),
        (
            b"<meta content='text/html;charset=shift_jis'>" + "字".encode("cp932"),
            "text/html",
            None,
            "cp932",
        ),
        ('<meta charset="utf-16">ö'.encode(), "text/html", '<meta charset="utf-16">ö', "utf-8"),
        ("größe, straße".encode("latin-1"), "text/html; charset=utf-8", "größe, straße", "cp1252"),
        (b"gr\xf6\xdfe, stra\xdfe", "text/html; charset=nonsense", "größe, straße", "cp1252"),
        (b"abc", "text/html; charset=zip", "abc", "utf-8"),
        (b"+ADw-script", "text/html; charset=utf-7", "+ADw-script", "utf-8"),
        (b"a\0b", "text/html", "a\ufffdb", "utf-8"),
        (b"abc", 'text/html; charset="', "abc", "utf-8"),
    ],
)
async def test_charsets(site: Site, body: bytes, content_type: str, text: str | None, encoding: str) -> None:
    site.routes["/"] = Reply(body, headers={"Content-Type": content_type})
    read = (await fetched(site.url())).text()
    assert read is not None and read.encoding == encoding
    assert text is None or read.text == text


async def test_what_is_binary_has_no_text(site: Site) -> None:
    site.routes["/"] = Reply(b"\x89PNG\0\0", headers={"Content-Type": "image/png"})
    assert (await fetched(site.url())).text() is None


@pytest.mark.parametrize("body", ["", "{", "[NaN]", "[" * 100_000, "\ufeff", '{"a": 1} rest'])
async def test_malformed_json_is_told(site: Site, body: str) -> None:
    site.routes["/"] = Reply(body, headers={"Content-Type": "application/json"})
    with pytest.raises(PermanentError, match="did not answer with JSON"):
        (await fetched(site.url())).json()


async def test_statuses_are_told_apart(site: Site) -> None:
    for status, kind in ((404, PermanentError), (403, PermanentError), (501, PermanentError), (304, PermanentError)):
        site.routes["/"] = Reply(status=status)
        with pytest.raises(kind, match=f"answered {status}"):
            (await fetched(site.url("/?key=secret"))).check()
    for status in (408, 429, 500, 502, 503, 504):
        site.routes["/"] = Reply(status=status, headers={"Retry-After": "7"})
        with pytest.raises(PassingError, match=f"answered {status}") as raised:
            (await fetched(site.url("/?key=secret"))).check()
        assert raised.value.retry_after == 7 and "secret" not in str(raised.value)
    assert (await fetched(site.url())).check([504]).status == 504


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("120") == 120
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert (retry_after("Sun, 06 Nov 2094 08:49:37 GMT") or 0) > 1e9
    assert [retry_after(value) for value in (None, "", "soon", "-1", "٣", "9" * 400)] in (
        [None, None, None, None, 3, float("inf")],
        [None, None, None, None, 3.0, None],
    )


async def test_patience_waits_as_told_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("app.steps.outside.trouble.sleep", sleep)
    lines: list[str] = []
    storm = [PassingError("a answered 429", 7, handled=False), PassingError("broken")]

    async def attempt() -> str:
        if storm:
            raise storm.pop(0)
        return "done"

    assert await patiently(attempt, lines.append, retries=3, longest_wait=60) == "done"
    assert pauses[0] == 7 and 1.5 <= pauses[1] <= 2.5
    assert lines[0] == "a answered 429; next try in 7.0 s"
    storm[:] = [PassingError("a answered 429", 3600)]
    with pytest.raises(PassingError, match="asks to wait 3,600 s, more than the 60 s allowed"):
        await patiently(attempt, lines.append, retries=3, longest_wait=60)
    storm[:] = [PassingError("broken")] * 10
    with pytest.raises(PassingError):
        await patiently(attempt, lines.append, retries=3, longest_wait=60)
    assert len(storm) == 6
    storm[:] = [PassingError("broken"), PassingError("broken")]
    with pytest.raises(PassingError):
        await patiently(attempt, lines.append, retries=3, longest_wait=60, repeatable=False)
    assert len(storm) == 1


def test_a_gzip_file_is_unpacked_and_anything_else_left() -> None:
    assert gunzipped(gzip.compress(b"hello"), 100) == b"hello"
    assert gunzipped(b"hello", 100) == b"hello"


async def test_what_is_asked_says_who_asks(site: Site) -> None:
    site.routes["/"] = Reply()
    await fetched(site.url())
    asked: Asked = site.asked[0]
    assert asked.headers["user-agent"].startswith("Stepglass") and asked.headers["accept-encoding"] == "gzip, deflate"
