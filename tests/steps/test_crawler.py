"""Pages become documents, links become work items, and a site is met politely, whatever it answers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from app.steps.crawler import Crawler, CrawlerSettings
from app.steps.crawling import crawl as crawling
from app.steps.outside.trouble import PassingError
from app.work.step_type import PermanentError

from .conftest import MakeStage, RecordingContext, Stage
from .loopback import Asked, Reply, Site, page, serving, to

QUICK = {"delay_ms": 0, "allow_hosts": ["127.0.0.1", "localhost"]}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


def staged(stage: MakeStage, site: Site, *starts: str, **settings: Any) -> Stage:
    return stage(Crawler, start_urls=[site.url(start) for start in starts or ("/",)], **{**QUICK, **settings})


async def crawled(
    stage: MakeStage, site: Site, *starts: str, **settings: Any
) -> tuple[dict[str, Any], RecordingContext]:
    """What came of each work item, by its path and query, and the context."""
    on_stage = staged(stage, site, *starts, **settings)
    results = await on_stage.run()
    return {name.removeprefix(site.url("")): result for name, result in results.items()}, on_stage.context


def bodies(context: RecordingContext, site: Site) -> dict[str, str]:
    return {address.removeprefix(site.url("")): document.body for address, document in context.stored.items()}


async def test_a_page_becomes_a_markdown_document(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply(
        '<html lang="de"><head><title> Größe &amp;\n Co </title></head><body><nav><a href="/menu">Menu</a></nav>'
        '<h1>Head</h1><p>Some <b>bold</b> <a href="news?a=1#x">news</a></p><script>alert(1)</script></body></html>'
    )
    results, context = await crawled(stage, site, max_depth=0, tags=["news"])
    (document,) = context.stored.values()
    assert document.body == f"# Head\n\nSome **bold** [news]({site.url('/news?a=1#x')})"
    assert (document.address, document.title, document.source_type) == (site.url("/"), "Größe & Co", "page")
    assert document.tags == ("news",)
    facts = document.metadata["crawler"]
    assert (facts["url"], facts["status"], facts["language"]) == (site.url("/"), 200, "de")
    assert results["/"]["links"] == 2 and results["/"]["followed"] == 0


async def test_links_become_work_items_down_to_the_depth_and_each_page_once(stage: MakeStage, site: Site) -> None:
    site.routes |= {
        "/": page("/a", "b?x=1#one", "b?x=1#two", "/", "http://127.0.0.1:1/elsewhere", "mailto:a@b", "javascript:x"),
        "/a": page("/", "/a/deep", "../b?x=1"),
        "/b": page("/a/./deep"),
        "/a/deep": page("/too/deep"),
    }
    results, context = await crawled(stage, site, max_depth=2)
    assert sorted(results) == ["/", "/a", "/a/deep", "/b?x=1"]
    assert sorted(site.paths()) == ["/", "/a", "/a/deep", "/b?x=1", "/robots.txt"]
    assert len(context.stored) == 4
    assert context.stored[site.url("/a/deep")].metadata["crawler"]["depth"] == 2


async def test_no_more_pages_than_the_limit_although_there_is_no_end_of_them(stage: MakeStage, site: Site) -> None:
    def endless(asked: Asked) -> Reply:
        number = int(asked.path.removeprefix("/") or 0)
        return page(*(f"/{number * 3 + more}" for more in (1, 2, 3)), title=f"Page {number}")

    site.routes |= {"*": endless, "/robots.txt": Reply("", 404)}
    results, context = await crawled(stage, site, max_pages=10, max_depth=1000)
    assert len(results) == 10 == len(context.stored)
    results, _ = await crawled(stage, site, "/1", "/2", "/3", max_pages=2)
    assert list(results) == ["/1", "/2"]


@pytest.mark.parametrize(
    ("settings", "visited"),
    [
        ({"include": ["/news/*"]}, ["/", "/news/1", "/news/2.pdf"]),
        ({"exclude": ["*.pdf", "/shop*"]}, ["/", "/news/1"]),
        ({"include": ["http://*/news/*", "/shop?*"], "exclude": ["*.pdf"]}, ["/", "/news/1", "/shop?id=1"]),
    ],
)
async def test_only_links_inside_the_patterns_are_followed(
    stage: MakeStage, site: Site, settings: dict[str, Any], visited: list[str]
) -> None:
    site.routes |= {"/": page("/news/1", "/news/2.pdf", "/shop?id=1"), "*": page()}
    results, _ = await crawled(stage, site, **settings)
    assert sorted(results) == visited


async def test_other_sites_are_left_alone_unless_told_otherwise(stage: MakeStage, site: Site) -> None:
    async with serving({"/x": page()}) as other:
        site.routes["/"] = page(other.url("/x"))
        await crawled(stage, site)
        assert other.asked == []
        await crawled(stage, site, stay_on_site=False)
        assert other.paths() == ["/robots.txt", "/x"]


async def test_a_start_url_that_moves_takes_the_crawl_along_and_a_link_that_leaves_does_not(
    stage: MakeStage, site: Site
) -> None:
    async with serving({"/home": page("/next", "/away"), "/next": page()}) as moved:
        site.routes |= {"/": to(moved.url("/home"), 301), "/secret": page()}
        moved.routes["/away"] = to(site.url("/secret"))
        results, context = await crawled(stage, site)
        assert moved.url("/home") in context.stored and moved.url("/next") in context.stored
        away = results[moved.url("/away")]
        assert away["outcome"] == "skipped" and "redirects to" in away["why"] and "/secret" not in site.paths()


async def test_redirects_are_followed_and_a_loop_is_a_reason(stage: MakeStage, site: Site) -> None:
    site.routes |= {"/": page("/old", "/loop"), "/old": to("/new", 308), "/new": page(), "/loop": to("/loop")}
    results, context = await crawled(stage, site)
    assert sorted(bodies(context, site)) == ["/", "/new"]
    assert results["/old"]["url"] == site.url("/new")
    assert isinstance(results["/loop"], PermanentError) and "more than 5 redirects" in str(results["/loop"])


@pytest.mark.parametrize(
    ("own", "address"),
    [("/real", "/real"), ("http://evil.example/", "/"), ("http://[", "/"), ("", "/"), ("#top", "/")],
)
async def test_a_page_may_say_what_its_own_url_is_on_its_own_site(
    stage: MakeStage, site: Site, own: str, address: str
) -> None:
    site.routes["/"] = page(head=f'<link rel="canonical" href="{own}">')
    _, context = await crawled(stage, site)
    assert list(bodies(context, site)) == [address]


async def test_robots_txt_is_kept_to_and_read_once(stage: MakeStage, site: Site) -> None:
    robots = "User-agent: *\nDisallow: /\nUser-agent: stepglass\nDisallow: /private\nAllow: /private/open\n"
    site.routes |= {
        "/robots.txt": Reply(robots, headers={"Content-Type": "text/plain"}),
        "/": page("/private/a", "/private/open", "/sneaky"),
        "/private/open": page(),
        "/sneaky": to("/private/a"),
    }
    results, _ = await crawled(stage, site)
    assert sorted(results) == ["/", "/private/open", "/sneaky"]
    assert "does not allow" in results["/sneaky"]["why"]
    assert site.paths().count("/robots.txt") == 1 and "/private/a" not in site.paths()
    results, _ = await crawled(stage, site, "/private/a")
    assert results["/private/a"]["outcome"] == "skipped"
    await crawled(stage, site, "/private/a", obey_robots=False)
    assert site.paths()[-1] == "/private/a"


async def test_a_site_whose_robots_txt_cannot_be_had_is_not_asked_now(stage: MakeStage, site: Site) -> None:
    site.routes |= {"/robots.txt": Reply(status=503), "/a": page(), "/b": page()}
    results, _ = await crawled(stage, site, "/a", "/b")
    assert all(isinstance(result, PassingError) for result in results.values())
    assert "robots.txt cannot be read" in str(results["/a"]) and site.paths() == ["/robots.txt"]


@pytest.mark.parametrize(
    "robots",
    [
        b"\xff\xfe\x00garbage\x00\xff",
        b"<html>not found</html>",
        b"User-agent: *\nDisallow: /" + b"*a" * 5000 + b"b\nCrawl-delay: NaN\nCrawl-delay: -5\nAllow: \n",
        b"A" * 600_000,
    ],
)
async def test_a_hostile_robots_txt_stops_nothing(stage: MakeStage, site: Site, robots: bytes) -> None:
    site.routes |= {"/robots.txt": Reply(robots), "/": page("/" + "a" * 1500), "*": page()}
    results, _ = await crawled(stage, site)
    assert [result["outcome"] for result in results.values()] == ["saved", "saved"]


async def test_others_get_their_turns_while_many_links_are_held_against_many_rules(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.steps.crawler._BREATH", -1.0)  # always over
    turns, at_a_link = 0, set[int]()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr("app.steps.crawling.crawl.Host.allows", lambda host, url: at_a_link.add(turns) or True)
    site.routes |= {"/": page(*(f"/{number}" for number in range(100))), "*": page()}
    at_work = asyncio.create_task(others())
    await crawled(stage, site, max_pages=1)
    at_work.cancel()
    assert len(at_a_link) >= 100


async def test_pages_that_ask_for_it_are_neither_kept_nor_followed(stage: MakeStage, site: Site) -> None:
    site.routes |= {
        "/": page("/meta", "/header", "/none"),
        "/meta": page("/x", head='<meta name="ROBOTS" content="NoIndex">'),
        "/header": Reply("<a href=/y>y</a>", headers={"X-Robots-Tag": "nofollow"}),
        "/none": page("/z", head='<meta name="robots" content="none">'),
        "/x": Reply('<a rel="ugc nofollow" href="/y">y</a>'),
        "*": page(),
    }
    results, context = await crawled(stage, site)
    assert sorted(results) == ["/", "/header", "/meta", "/none", "/x"]
    assert sorted(bodies(context, site)) == ["/", "/header", "/x"]
    assert results["/meta"]["outcome"] == "not_indexed"


async def test_the_pages_of_sitemaps_are_fetched_too(stage: MakeStage, site: Site) -> None:
    further = [site.url(path) for path in ("/packed.xml.gz", "/bomb.xml", "/map")]
    index = f"<sitemapindex>{''.join(f'<sitemap><loc>{url}</loc></sitemap>' for url in further)}</sitemapindex>"
    urls = "<urlset xmlns:x='x'><url><x:image><x:loc>http://image.example/</x:loc></x:image>"
    urls += f"<loc> {site.url('/a?x=1&amp;y=2')} </loc></url>"
    urls += f"<url><loc><![CDATA[{site.url('/b')}]]></loc></url><url><loc>http://other.example/</loc></url></urlset>"
    bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><urlset><url><loc>&b;</loc></url></urlset>"
    site.routes |= {
        "/robots.txt": Reply(f"Sitemap: {site.url('/map')}\nSitemap: {site.url('/gone')}"),
        "/map": Reply(index, headers={"Content-Type": "application/xml"}),
        "/packed.xml.gz": Reply(gzip.compress(urls.encode()), headers={"Content-Type": "application/gzip"}),
        "/bomb.xml": Reply(bomb),
        "/": page(),
        "/a": page(),
        "/b": page(),
    }
    results, context = await crawled(stage, site, sitemaps=True)
    assert sorted(results) == ["/", "/a?x=1&y=2", "/b"]
    assert [line.partition(":")[0] for line in context.messages("warn")] == ["sitemap skipped"] * 2
    assert "it declares entities" in context.messages("warn")[1]


async def test_a_site_without_sitemaps_is_crawled_all_the_same(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = page()
    results, context = await crawled(stage, site, sitemaps=True)
    assert list(results) == ["/"] and "answered 404" in context.messages("warn")[0]


DEEP = "<div>" * 50_000 + "<blockquote><ul><li><table><tr><td><b><i>" * 5_000


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "<",
        "\0" * 100,
        "<!doctype html>",
        "<?xml version='1.0' encoding='utf-16'?><html><body>x</body></html>",
        DEEP,
        "<a href=x " + "a " * 100_000 + ">",
        "<a href='" + "x" * 100_000 + "'>",
        "<a href='http://[::1'>x</a><a href='http://a:b/'>x</a><a href='\ud83d'>x</a><base href='::'>".encode(
            "utf-8", "replace"
        ).decode(),
        "<a href='//'>a</a><a href='http:///x'>b</a><a href='https:'>c</a><a href='?'>d</a>",
        "<title>" + "t" * 100_000,
        "&#x110000;&#0;&#xD800;" * 100,
        "<b><p>" * 20_000,
        "<table>" * 20_000,
        "<!--" * 100_000,
        "`" * 100_000,
    ],
)
async def test_hostile_html_ends_as_a_document_or_a_reason(stage: MakeStage, site: Site, hostile: str) -> None:
    site.routes |= {"/": Reply(hostile), "*": page()}
    results, context = await crawled(stage, site, max_pages=5)
    assert results["/"]["outcome"] == "saved"
    assert len(context.stored[site.url("/")].title) <= 500


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("x", 404), "answered 404 Not Found"),
        (Reply("x", 410), "answered 410 Gone"),
        (Reply("x" * 2000), "more than 1,000 bytes"),
        (Reply(gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}), "more than 1,000 bytes"),
        (Reply("x", headers={"Content-Encoding": "br"}), "not asked for"),
        (to("javascript:alert(1)"), "is not a URL to ask"),
        (to("http://192.168.0.1/"), "is not a public address"),
    ],
)
async def test_a_page_that_cannot_be_had_fails_with_its_reason(
    stage: MakeStage, site: Site, reply: Reply, why: str
) -> None:
    site.routes["/"] = reply
    results, _ = await crawled(stage, site, max_page_size=1000)
    assert isinstance(results["/"], PermanentError) and why in str(results["/"])


async def test_what_is_no_page_is_skipped_without_reading_it(stage: MakeStage, site: Site) -> None:
    async def image(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n")

    site.routes |= {"/": page("/image"), "/image": image}
    results, context = await crawled(stage, site)
    assert results["/image"]["why"] == "it is image/png, not a page"
    assert context.messages("info")[-1] == f"skipped, it is image/png, not a page: {site.url('/image')}"


async def test_plain_text_is_kept_as_it_is(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply("a <b>\n", headers={"Content-Type": "text/plain"})
    _, context = await crawled(stage, site)
    assert bodies(context, site) == {"/": "a <b>\n"}


async def test_a_wrong_charset_is_read_as_what_it_is_with_a_line(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply("<title>Größe, Straße</title>".encode("latin-1"))
    _, context = await crawled(stage, site)
    assert context.stored[site.url("/")].title == "Größe, Straße"
    assert context.messages("warn") == [f"{site.url('/')}: the charset is not told right, read as cp1252"]


async def test_the_second_crawl_updates_only_what_has_changed(stage: MakeStage, site: Site) -> None:
    site.routes |= {"/": page("/a"), "/a": [page(title="one"), page(title="two")]}
    on_stage = staged(stage, site)
    await on_stage.run()
    on_stage.context.saves.clear()
    on_stage.context.names.clear()
    on_stage.context.step_id += 1
    results = await on_stage.run()
    assert on_stage.context.saves == [site.url("/a")]
    assert results[site.url("/")]["outcome"] == "unchanged"


async def test_a_storm_of_429_is_waited_out_by_the_whole_crawl(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("app.steps.outside.trouble.sleep", sleep)
    paused: list[float] = []
    monkeypatch.setattr(crawling.Host, "pause", lambda self, seconds: paused.append(seconds))
    storm = Reply(status=429, headers={"Retry-After": "9"})
    site.routes["/"] = [storm, storm, page()]
    results, context = await crawled(stage, site)
    assert results["/"]["outcome"] == "saved" and waits == paused == [9, 9]
    assert context.messages("warn")[0] == f"{site.url('/')} answered 429 Too Many Requests; next try in 9.0 s"
    site.routes["/"] = storm
    results, _ = await crawled(stage, site)
    assert isinstance(results["/"], PassingError)


async def test_requests_to_a_host_keep_their_distance_and_their_number(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stands still between the naps of the crawl, and passes in them."""
    clock = 0.0
    begun: list[float] = []

    class Clock:
        def time(self) -> float:
            return clock

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    class Asyncio:
        Semaphore, Lock, AbstractEventLoop = asyncio.Semaphore, asyncio.Lock, asyncio.AbstractEventLoop

    real = asyncio.get_running_loop
    Asyncio.sleep = staticmethod(sleep)  # type: ignore[attr-defined]
    Asyncio.get_running_loop = staticmethod(Clock)  # type: ignore[attr-defined]
    monkeypatch.setattr(crawling, "asyncio", Asyncio)
    assert real() is not None
    manners = crawling.Manners("x", 2, 0.5, True)
    host = crawling.Host("http://a", manners, 0.5, asyncio.Semaphore(2))
    at_once = most = 0

    async def request() -> None:
        nonlocal at_once, most
        async with host.turn():
            begun.append(clock)
            at_once += 1
            most = max(most, at_once)
            for _ in range(5):
                await asyncio.sleep(0)
            at_once -= 1

    await asyncio.gather(*(request() for _ in range(6)))
    assert begun == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5] and most == 2
    host.pause(10)
    await request()
    assert begun[-1] == 12.5


async def test_the_delay_of_robots_txt_is_kept(stage: MakeStage, site: Site) -> None:
    site.routes |= {"/robots.txt": Reply("User-agent: *\nCrawl-delay: 0.01"), "/": page()}
    _, context = await crawled(stage, site)
    origin = site.url("")
    assert context.messages("warn") == [f"{origin} asks for 0.01 s between requests; they are sent 0.01 s apart"]


async def test_one_host_is_asked_by_so_many_at_once(stage: MakeStage, site: Site) -> None:
    release = asyncio.Event()

    async def waits(writer: asyncio.StreamWriter) -> None:
        if site._answering == 3:
            release.set()
        await release.wait()
        writer.write(page().wire())

    site.routes |= {"*": waits, "/robots.txt": Reply("", 404)}
    on_stage = staged(stage, site, *(f"/{number}" for number in range(8)), concurrency=3)
    items = await on_stage.planned()
    results = await asyncio.gather(*(on_stage.step_type.run(on_stage.context, item) for item in items))  # type: ignore[arg-type]
    assert len(results) == 8 and site.most_at_once == 3
    assert site.connections <= 4, "connections are used again"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"start_urls": []}, "at least 1 item"),
        ({"start_urls": ["example.org"]}, "is not a URL to start at"),
        ({"start_urls": ["ftp://example.org"]}, "is not a URL to start at"),
        ({"max_pages": 0}, "greater than or equal to 1"),
        ({"user_agent": "a\nb"}, "should match pattern"),
        ({"allow_hosts": ["*"]}, "is not a host"),
    ],
)
def test_wrong_settings_are_refused_at_load(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CrawlerSettings.model_validate({"start_urls": ["https://example.org/"], **wrong})
