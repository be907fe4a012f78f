"""Logging of the command line: everything goes to stderr, readable on a terminal, as JSON lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from app.cli.terminal_text import plain


def log_to_stderr(level: int = logging.INFO) -> None:
    """Sends what this program logs, and warnings of its libraries, to stderr."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
    ]
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[*shared, *_painting(on_terminal)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_painting(on_terminal)],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _painting(on_terminal: bool) -> list[Any]:
    if on_terminal:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [structlog.processors.format_exc_info, _harmless, renderer]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What names and errors contain must not act on the terminal."""
    return {key: _plain_lines(value) if isinstance(value, str) else value for key, value in event.items()}


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))
