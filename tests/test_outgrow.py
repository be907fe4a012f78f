"""What docs/outgrow-one-machine.md and the files beside it say is so: commands, settings, proxies, units, SQL."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import sqlalchemy as sa
import yaml

from app.cli import cli
from app.queue.database import Database
from app.queue.schema import bring_up_to_date
from app.settings import Settings, variable
from app.web.live.browsers import STREAMS
from app.web.live.hub import HEARTBEAT
from app.web.security import MAX_BODY
from tests.stepglass import Server, serving, stepglass

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = DOCS / "examples"
DOCUMENT = (DOCS / "outgrow-one-machine.md").read_text()
COMPOSE = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
UNITS = sorted(EXAMPLES.glob("*.service"))
FILES = {path.name: path.read_text() for path in sorted(EXAMPLES.iterdir())}
PAGE = "stepglass.example"
SECONDS = {"s": 1, "m": 60, "": 1}

LISTENS = "stepglass listens"
"""A name that a process gives itself."""


def documented() -> Iterator[tuple[str, str]]:
    """Every command that the document or a file names, with each of its options."""
    lines = re.findall(r"^ *(stepglass .*)$", DOCUMENT, re.MULTILINE)
    lines += [line for line in re.findall(r"`(stepglass [^`\n]+)`", DOCUMENT) if line != LISTENS]
    lines += [line for unit in UNITS for line in re.findall(r"^ExecStart=\S+/(stepglass .*)$", FILES[unit.name], re.M)]
    for line in lines:
        _, name, *rest = line.split()
        name = name.rstrip(",")
        yield name, ""
        yield from ((name, option) for option in rest if re.match("--[a-z]", option))
    for service in COMPOSE.values():
        if service.get("image") == "stepglass" and "command" in service:
            name, *rest = service["command"]
            yield from ((name, option) for option in ["", *rest] if option.startswith("--") or not option)


@pytest.mark.parametrize(("name", "option"), sorted(set(documented())))
def test_every_command_and_option_exists(name: str, option: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command, name
    assert not option or option in {each for parameter in command.params for each in parameter.opts}


def test_every_setting_that_is_named_exists() -> None:
    named = {each for text in [DOCUMENT, *FILES.values()] for each in re.findall(r"STEPGLASS_[A-Z_]+", text)}
    known = {variable(name) for name in Settings.__dataclass_fields__} | {"STEPGLASS_MODEL"}
    assert named and named <= known


def test_options_that_stand_alone_are_those_of_the_server() -> None:
    alone = set(re.findall(r"`(--[a-z-]+)", DOCUMENT))
    of_server = {each for parameter in _command("serve").params for each in parameter.opts}
    assert {"--slots", "--allowed-hosts"} <= alone
    assert alone <= of_server


def _command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command
    return command


def test_what_the_document_counts_is_so() -> None:
    assert HEARTBEAT == 5 and "silent for longer than 5 s" in DOCUMENT
    assert STREAMS == 5 and "five streams at a time" in DOCUMENT
    assert MAX_BODY == 1 << 20 and "bodies up to 1 MiB" in DOCUMENT
    database = Database("postgresql+psycopg://nobody@nowhere/nothing")
    pools = database.writing.pool, database.reading.pool
    assert sum(pool.size() for pool in pools) + 1 == 6 and "has up to 6: one writes, one listens, four" in DOCUMENT  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("data"), "--slots", "0", "--allowed-hosts", PAGE) as server:
        yield server


def test_a_server_says_and_takes_what_a_proxy_relies_on(server: Server) -> None:
    as_browser = {"Host": PAGE, "Accept-Encoding": "gzip"}
    with httpx.Client(base_url=server.url, headers=as_browser, timeout=20) as client:
        with client.stream("GET", "/queue/stream") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert stream.headers["X-Accel-Buffering"] == "no"
            assert stream.headers["Cache-Control"] == "no-store"
            assert "Content-Encoding" not in stream.headers
        page = client.get("/queue")
        assert page.headers["Content-Encoding"] == "gzip"
        assert page.cookies["browser"]
        assert client.get("/queue", headers={"Host": "other.example"}).status_code == 421
        pause = "/api/queue/pause"
        assert client.post(pause, headers={"Origin": "https://other.example"}).status_code == 403
        actor = {"Origin": f"https://{PAGE}", "X-Stepglass-Actor": "ann"}
        assert client.post(pause, headers=actor).is_success
        assert client.get("/api/actions").json()["actions"][0]["who"].startswith("ann")


def test_what_is_to_be_watched_is_there(server: Server) -> None:
    for path in re.findall(r"`(/(?:healthz|system|api/[a-z/]+))`", DOCUMENT):
        httpx.get(f"{server.url}{path}").raise_for_status()
    assert httpx.get(f"{server.url}/healthz").json().keys() >= {"status", "detail", "since"}
    assert "waiting" in (httpx.get(f"{server.url}/api/system").json()["system"]["writer"])


def test_every_container_gets_the_time_that_its_work_has() -> None:
    for name, service in COMPOSE.items():
        if service.get("image") == "stepglass" and "command" in service:
            assert _seconds(service["stop_grace_period"]) >= _grace(service["command"]) + 25, name


def test_the_containers_fit_together() -> None:
    ports = [_after(COMPOSE[name]["command"], "--port") for name in ("web-1", "web-2")]
    for port, name in zip(ports, ("web-1", "web-2"), strict=True):
        assert f"127.0.0.1:{port}" in FILES["Caddyfile"]
        assert f"127.0.0.1:{port}/healthz" in COMPOSE[name]["healthcheck"]["test"][-1]
        assert COMPOSE[name]["network_mode"] == COMPOSE["proxy"]["network_mode"] == "service:edge"
    wanted = set(re.findall(r"{\$([A-Z_]+)", FILES["Caddyfile"]))
    assert wanted == COMPOSE["proxy"]["environment"].keys()
    copied = re.findall(r"^COPY (.*) \S+$", FILES["Dockerfile"], re.MULTILINE)
    assert all((DOCS.parent / each).exists() for line in copied for each in line.split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_every_unit_stops_as_the_program_does(unit: Path) -> None:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    service = parser["Service"]
    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert int(service["TimeoutStopSec"]) >= _grace(service["ExecStart"].split()) + 25


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in UNITS:  # `verify` wants the program to be there
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/stepglass/bin/stepglass", "/bin/true"))
    units = [tmp_path / unit.name for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_role_of_the_document_can_do_all_that_is_asked_of_it(postgres_url: str) -> None:
    """Its SQL, under names of its own, since the cluster is shared."""
    ours = [re.sub(r"\bstepglass(?=\b|_reports)", "outgrow_role", sql) for sql in _sql()]
    make, reports, locks = ours
    root = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    url = sa.make_url(postgres_url).set(database="outgrow_role")
    inside = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    try:
        _execute(root, make)
        address = url.set(drivername="postgresql", username="outgrow_role").render_as_string(hide_password=False)
        database = Database(url.set(username="outgrow_role"))
        bring_up_to_date(database)
        database.close()
        checked = stepglass("check", "--database", address)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        _execute(inside, reports)
        _execute(inside, locks.replace("'outgrow_role'", "'stepglass'"))
        reader = sa.create_engine(url.set(username="outgrow_role_reports"), poolclass=sa.NullPool)
        with reader.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM worker_job").scalar_one() == 0
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                connection.exec_driver_sql("DELETE FROM worker_job")
    finally:
        with root.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS outgrow_role WITH (FORCE)")
            for role in ("outgrow_role_reports", "outgrow_role"):
                connection.exec_driver_sql(f"DROP ROLE IF EXISTS {role}")


def _sql() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


def _execute(engine: sa.Engine, script: str) -> None:
    with engine.connect() as connection:
        for statement in filter(str.strip, script.split(";")):
            connection.exec_driver_sql(statement)


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_a_stream_goes_through_nginx_as_it_is_sent(tmp_path: Path, server: Server) -> None:
    certificate, key = _certificate(tmp_path)
    port, text = _free_port(), FILES["nginx.conf"]
    password = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    (tmp_path / "htpasswd").write_text(f"bob:{password.stdout}")
    for theirs, ours in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/stepglass/fullchain.pem", certificate),
        ("/etc/ssl/stepglass/privkey.pem", key),
        ("/etc/nginx/stepglass.htpasswd", tmp_path / "htpasswd"),
        ("127.0.0.1:8001", server.url.removeprefix("http://")),
        ("    server 127.0.0.1:8002 max_fails=2 fail_timeout=5s;\n", ""),
    ):
        assert theirs in text
        text = text.replace(str(theirs), str(ours))
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {paths}\n{text}\n}}"
    )
    with _proxy("nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr", port=port):
        _follow(port, certificate)


@pytest.mark.skipif(not shutil.which("caddy"), reason="Caddy is not installed")
def test_a_stream_goes_through_caddy_as_it_is_sent(tmp_path: Path, server: Server) -> None:
    certificate, key = _certificate(tmp_path)
    port, text = _free_port(), FILES["Caddyfile"]
    told = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, re.findall(r"(\d+)\.(\d+)", told)[0])
    hashed = ["caddy", "hash-password", "--plaintext", "secret"]
    password = subprocess.run(hashed, capture_output=True, text=True, check=True).stdout.strip()
    for theirs, ours in (
        ("{$PAGE_NAME:stepglass.example} {", f"{PAGE}:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}"),
        ("basic_auth", "basic_auth" if (major, minor) >= (2, 8) else "basicauth"),
        ("127.0.0.1:8001 127.0.0.1:8002", server.url.removeprefix("http://")),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
    (tmp_path / "Caddyfile").write_text(options + text)
    environment = {"PAGE_USER": "bob", "PAGE_PASSWORD_HASH": password, "HOME": str(tmp_path)}
    command = ("caddy", "run", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile")
    with _proxy(*command, port=port, **environment):
        _follow(port, certificate)


def _follow(port: int, certificate: Path) -> None:
    """As a browser does: by TLS with HTTP/2 on offer, asked for a name, and with a stream that comes as it is sent."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection(("127.0.0.1", port), 10)
    with trusting.wrap_socket(plain, server_hostname=PAGE) as wrapped:
        assert wrapped.selected_alpn_protocol() == "h2"
    url, host = f"https://127.0.0.1:{port}", f"{PAGE}:{port}"
    to_page: Any = {"headers": {"Host": host}, "extensions": {"sni_hostname": PAGE}}
    as_client = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(verify=as_client, timeout=20) as client:
        assert client.get(f"{url}/queue", **to_page).status_code == 401
        client.auth = httpx.BasicAuth("bob", "secret")
        assert client.get(f"{url}/queue", **to_page).headers["Content-Encoding"] == "gzip"
        with client.stream("GET", f"{url}/queue/stream", **to_page) as stream:
            chunks = stream.iter_raw()
            assert b"data: " in next(chunks)  # of a stream that does not end, and is not full: it was not held back
            to_page["headers"] |= {"Origin": f"https://{host}", "X-Stepglass-Actor": "mallory"}
            assert client.delete(f"{url}/api/queue/pause", **to_page).status_code in (200, 202, 409)
            assert client.post(f"{url}/api/queue/pause", **to_page).is_success
        acted = client.get(f"{url}/api/actions", **to_page).json()["actions"]
        assert acted[0]["who"].startswith("bob")


@contextmanager
def _proxy(program: str, *arguments: str | Path, port: int, **environment: str) -> Iterator[None]:
    process = subprocess.Popen([str(shutil.which(program)), *map(str, arguments)], env=environment)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end
        yield
    finally:
        process.kill()
        process.wait()


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", f"/CN={PAGE}", "-addext", f"subjectAltName=DNS:{PAGE}", "-days", "2"]
    subprocess.run([*command, *named, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    return certificate, key


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def _grace(command: list[str]) -> int:
    return int(_after(command, "--grace")) if "--grace" in command else Settings().grace


def _seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * SECONDS[unit]
