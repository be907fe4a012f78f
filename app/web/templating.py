"""Templates: how they are loaded, and how what is stored becomes text on a page.

Everything is escaped, always. Control and bidirectional characters and those that cannot be seen, which could make a
name look like another one or turn a line around, are shown as visible symbols. Of a text without an end the page shows
both ends. Times are shown as absolute clock times, never relative to now, so
that what was painted earlier and what is painted now are the same.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache, lru_cache

import jinja2
import msgspec
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig
from markupsafe import Markup

from app.queue.totals import told_amount
from app.resources import templates_dir
from app.web import dom
from app.web.stylesheet import stylesheet_url

_DECEPTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)
"""The joiners stay (\u200c, \u200d, \ufe0f): scripts and emoji are written with them."""
_HEAP = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{8})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Marks on one letter. More than any script needs would cover the lines around, and keep a browser busy for minutes."""
LONGEST = 70_000
"""Characters of one text on a page, somewhat more than a stored log message may have."""
_SYMBOL_FOR_NULL = 0x2400
_SYMBOL_FOR_DELETE = "\u2421"


@cache
def environment() -> jinja2.Environment:
    """The environment that renders every page, fragment and message: one, as it keeps what it has compiled."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        clock=clock,
        short_clock=short_clock,
        sentence=sentence,
        stamp=stamp,
        moment=moment,
        duration=duration,
        number=number,
        amount=told_amount,
        pretty=pretty,
    )
    made.globals.update(dom=dom, stylesheet_url=stylesheet_url)
    made.globals["storage_trouble"] = lambda: None  # which every page tells: set by whoever serves pages
    # Imported once and not by each line: there are hundreds in a paint, and an import costs a tenth of one.
    made.globals["insides"] = made.get_template("log_text.html").module.insides  # type: ignore[attr-defined]
    return made


def template_config(jinja: jinja2.Environment) -> TemplateConfig[JinjaTemplateEngine]:
    """Litestar's view of the same environment."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(jinja))


def shown(value: object) -> object:
    """Text with its deceptive characters made visible, and of bounded length; markup and other values as they are."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return visible(value if len(value) <= LONGEST else _both_ends(value))


def visible(text: str) -> str:
    """Text, or HTML, with its deceptive characters made visible."""
    if text.isascii():
        return text if text.isprintable() else _DECEPTIVE.sub(_symbol, text)
    return _HEAP.sub(_told_heap, _DECEPTIVE.sub(_symbol, text))


def _both_ends(text: str) -> str:
    """The beginning, and the end, where a traceback says what was wrong."""
    half = LONGEST // 2
    return f"{text[:half]}\n… ({len(text) - 2 * half:,} characters left out) …\n{text[-half:]}"


def _symbol(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(_SYMBOL_FOR_NULL + code)
    return _SYMBOL_FOR_DELETE if code == 0x7F else f"\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}U+{code:04X}\u203a"


def _told_heap(found: re.Match[str]) -> str:
    return f"{found[1]}\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}{len(found[0]) - 8:,} more marks\u203a"


def clock(at: float) -> str:
    """12:00:05"""
    return f"{_local(at):%H:%M:%S}"


def short_clock(at: float) -> str:
    """12:00"""
    return f"{_local(at):%H:%M}"


def moment(at: float) -> str:
    """21 Nov 12:00:05"""
    local = _local(at)
    return f"{local.day} {local:%b %H:%M:%S}"


def stamp(at: float) -> str:
    """2026-11-21T12:00:05.123+01:00"""
    return _local(at).isoformat(timespec="milliseconds")


@lru_cache(maxsize=1024)
def _local(at: float) -> datetime:
    """Asked for several times of each moment on a page."""
    return datetime.fromtimestamp(at).astimezone()


def duration(seconds: float) -> str:
    """85 ms, 12.3 s, 4 min 05 s, 2 h 07 min. A clock that was set back makes no negative durations."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def sentence(text: str) -> str:
    """With a full stop at its end."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def number(value: int) -> str:
    """1,234,567"""
    return f"{value:,}"


def pretty(value: object) -> str:
    """A stored JSON value as indented text; a text as itself."""
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
