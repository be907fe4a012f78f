"""Every setting: its default, its environment variable, what it is for, and what a value must look like.

Values come as text, from the command line or the environment; the command line wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import sqlalchemy as sa


class SettingsError(ValueError):
    """A setting has a value that it cannot have. Names the variable or option, and the value."""


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("must be a path")
    return Path(text).expanduser()


def _database(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise ValueError("must be the URL of a PostgreSQL database, such as postgresql://user:password@host/name")
    if not rest.isprintable():
        raise ValueError("must be a URL in one line of plain text")
    try:
        url = sa.make_url(f"postgresql+psycopg://{rest}")
    except ValueError:
        raise ValueError(
            "must have a number for a port; several hosts are named so: "
            "postgresql://user@/name?host=one:5432&host=two:5432"
        ) from None
    if url.host and "@" in url.host:
        raise ValueError("must have one @; one in the user or the password is written %40")
    if not 0 < (url.port or 5432) < 65_536:
        raise ValueError("must have a port from 1 to 65,535")
    return f"postgresql+psycopg://{rest}"


def _without_password(text: str) -> str:
    """What is no URL of a database may still hold a password."""
    text = re.sub(r":(?!//).*@", ":***@", text, flags=re.DOTALL)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^&\s]*)", r"\1***", text, flags=re.IGNORECASE)


def _paths(text: str) -> tuple[Path, ...]:
    folders = tuple(_path(part) for part in text.split(os.pathsep) if part)
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"must be folders separated by {os.pathsep!r}; {folder} is none")
    return folders


def _step_paths(text: str) -> tuple[Path, ...]:
    paths = tuple(_path(part) for part in text.split(os.pathsep) if part)
    for path in paths:
        if not (path.suffix == ".py" and path.is_file()) and not (path / "__init__.py").is_file():
            raise ValueError(f"must be Python files or packages separated by {os.pathsep!r}; {path} is none")
    return paths


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least:,} to {most:,}")
        return int(text)

    return parse


class TypeLimit(NamedTuple):
    """A limit of a step type, as it is written: crawler=2, http_request=60/minute."""

    type: str
    limit: str

    def __str__(self) -> str:
        return f"{self.type}={self.limit}"


def _type_limits(text: str) -> tuple[TypeLimit, ...]:
    found: dict[tuple[str, bool], TypeLimit] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        form = r"(?P<type>[^\s=/]+)\s*=\s*(?P<limit>[1-9][0-9]{0,5}(?P<per>\s*/\s*(second|minute|hour))?)"
        if not (match := re.fullmatch(form, part, re.ASCII)):
            raise ValueError(
                "must be limits of step types, separated by commas, such as crawler=2 (work items at once) or "
                f"http_request=60/minute (begun in a second, minute or hour); {part!r} is none"
            )
        kind = match["type"], bool(match["per"])
        if kind in found:
            raise ValueError(f"{match['type']} has two limits of one kind; leave one of them out")
        found[kind] = TypeLimit(match["type"], "".join(match["limit"].split()))
    return tuple(found.values())


def _synchronous(text: str) -> Literal["NORMAL", "FULL"]:
    if text.upper() not in ("NORMAL", "FULL"):
        raise ValueError("must be NORMAL or FULL")
    return cast(Literal["NORMAL", "FULL"], text.upper())


def _label(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise ValueError("must be a name of at most 100 characters in one line")
    return text.strip()


def _step_types(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _engine(text: str) -> Literal["embedded", "procrastinate"]:
    if text.lower() not in ("embedded", "procrastinate"):
        raise ValueError("must be embedded or procrastinate")
    return cast(Literal["embedded", "procrastinate"], text.lower())


def _on_or_off(text: str) -> Literal["on", "off"]:
    if text.lower() not in ("on", "off"):
        raise ValueError("must be on or off")
    return cast(Literal["on", "off"], text.lower())


def _host_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if not re.fullmatch(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]", name):
            raise ValueError(f"must be host names without port, separated by commas; {name!r} is none")
    return names


def _sites(text: str) -> tuple[str, ...]:
    sites = tuple(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
    for site in sites:
        if not re.fullmatch(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", site):
            raise ValueError(f"must be sites such as https://intranet.example, separated by commas; {site!r} is none")
    return sites


def _loopback_host(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("must be an address of this machine such as 127.0.0.1 or ::1") from None
    if not address.is_loopback:
        raise ValueError(
            "is not a loopback address: whoever can reach it could start, cancel and read every job, because no access "
            "control is configured. Listen on 127.0.0.1, and reach it from elsewhere through an SSH tunnel "
            "(ssh -L 8000:127.0.0.1:8000 this-machine) or a reverse proxy that asks who is there"
        )
    return text


def _about(parse: Callable[[str], Any], help: str, told: Callable[[str], str] = str) -> dict[str, Any]:
    """`told`: a wrong value, as it may be shown."""
    return {"parse": parse, "help": help, "told": told}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server is told. Each field's environment variable is STEPGLASS_ and its name in capitals."""

    data: Path = field(
        default=Path("data"),
        metadata=_about(_path, "The data directory: the database, and who owns it."),
    )
    database: str = field(
        default="",
        metadata=_about(
            _database,
            "postgresql://user@host/name, instead of SQLite in the data directory. Servers may share it.",
            _without_password,
        ),
    )
    engine: Literal["", "embedded", "procrastinate"] = field(
        default="",
        metadata=_about(
            _engine,
            "Who hands out the work on PostgreSQL: embedded or procrastinate. Not given: as the database is worked "
            "already, else procrastinate.",
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_about(_loopback_host, "The address to listen on; a loopback one."),
    )
    port: int = field(
        default=8000,
        metadata=_about(_whole_number(0, 65535), "The port to listen on; 0 takes any free one."),
    )
    slots: int = field(
        default=16,
        metadata=_about(
            _whole_number(0, 1000),
            "How many work items run at once; those that compute, one per processor at most. 0 runs nothing.",
        ),
    )
    limits: tuple[TypeLimit, ...] = field(
        default=(),
        metadata=_about(
            _type_limits,
            "Limits of step types over all definitions, separated by commas: crawler=2 for two work items at once, "
            "http_request=60/minute for so many begun in a second, minute or hour.",
        ),
    )
    name: str = field(
        default="",
        metadata=_about(_label, "What the process is called where those who work are listed; if nothing, by its host."),
    )
    step_types: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            _step_types, "The step types that this process works on, separated by commas; if none, all that it knows."
        ),
    )
    synchronous: Literal["NORMAL", "FULL"] = field(
        default="NORMAL",
        metadata=_about(
            _synchronous,
            "NORMAL keeps every commit through a crash of the server; FULL through a loss of power too, but is slower.",
        ),
    )
    allowed_hosts: tuple[str, ...] = field(
        default=(),
        metadata=_about(_host_names, "More host names under which a browser may ask, separated by commas."),
    )
    embedding_sites: tuple[str, ...] = field(
        default=(),
        metadata=_about(_sites, "Other sites whose pages may show fragments of this one, separated by commas."),
    )
    definitions: tuple[Path, ...] = field(
        default=(),
        metadata=_about(_paths, f"Folders with definitions of your own, separated by {os.pathsep!r}."),
    )
    steps: tuple[Path, ...] = field(
        default=(),
        metadata=_about(
            _step_paths, f"Python files or packages with step types of your own, separated by {os.pathsep!r}."
        ),
    )
    edit_definitions: Literal["on", "off"] = field(
        default="off",
        metadata=_about(
            _on_or_off, "Whether definitions can be edited in the page; new ones go into the first folder."
        ),
    )
    edit_unsafe_steps: Literal["on", "off"] = field(
        default="off",
        metadata=_about(
            _on_or_off, "Whether what was edited in the page may run programs, reach private hosts and use secrets."
        ),
    )
    keep_days: int = field(
        default=0,
        metadata=_about(
            _whole_number(0, 100_000),
            "Days for which a run is kept after its end, unless its definition says; 0: for good.",
        ),
    )
    keep_runs: int = field(
        default=0,
        metadata=_about(
            _whole_number(0, 999_999_999),
            "Finished runs of a definition that are kept, unless it says itself; 0: all.",
        ),
    )
    grace: int = field(
        default=5,
        metadata=_about(_whole_number(0, 3600), "Seconds that running work items get to end when the server stops."),
    )

    lease: int = field(
        default=20,
        metadata=_about(
            _whole_number(2, 3600), "Seconds without a heartbeat after which others take over what a process runs."
        ),
    )

    @classmethod
    def read(cls, environment: Mapping[str, str], options: Mapping[str, str | None] | None = None) -> Settings:
        """The settings of these options (None: not given) and this environment. Raises SettingsError."""
        values: dict[str, Any] = {}
        for each in fields(cls):
            source, text = _given(each.name, environment, options or {})
            if text is not None:
                values[each.name] = _parsed(source, text, each.metadata)
        settings = cls(**values)
        if settings.edit_definitions == "on" and not settings.definitions:
            source, _ = _given("edit_definitions", environment, options or {})
            raise SettingsError(f"{source.strip('= ')}: there is no folder to save to; name one with --definitions")
        return settings


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"STEPGLASS_{name.upper()}"


def source_of(settings: Settings, name: str, environment: Mapping[str, str]) -> str:
    """Where the value of a setting comes from, as far as that can be told from the value."""
    field, value = next(each for each in fields(Settings) if each.name == name), getattr(settings, name)
    if text := environment.get(variable(name)):
        try:
            said = field.metadata["parse"](text)
        except ValueError:
            said = None
        return variable(name) if said == value else "the command line"
    return "default" if value == field.default else "the command line"


def help_for(name: str) -> str:
    """What a setting is for, with its variable and default, as the command line shows it."""
    about = next(each for each in fields(Settings) if each.name == name)
    default = f"; default: {about.default}" if about.default not in ((), None) else ""
    return f"{about.metadata['help']} [{variable(name)}{default}]"


def _given(name: str, environment: Mapping[str, str], options: Mapping[str, str | None]) -> tuple[str, str | None]:
    option = options.get(name)
    if option is not None:
        return f"--{name.replace('_', '-')} ", option
    return f"{variable(name)}=", environment.get(variable(name)) or None


def _parsed(source: str, text: str, about: Mapping[str, Any]) -> Any:
    try:
        return about["parse"](text)
    except ValueError as error:
        text = about["told"](text)
        shown = text if text.isprintable() and len(text) <= 200 else ascii(text[:200])
        raise SettingsError(f"{source}{shown}: {error}") from None
