"""The levels of log entries. A module of their own, as worker processes know them without the tables."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """How much a log entry matters."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
