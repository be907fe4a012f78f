"""The table of those who work."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


def _json() -> sa.JSON:
    return sa.JSON(none_as_null=True)


class OwnerRow(SQLModel, table=True):
    """A process that runs work items, from a start to its end; work items and steps in planning name it.

    `beat`: counted up every quarter of `lease` (seconds) while it holds work, or others may be there, for these to see;
    when it was last is `renewed_at`, which decides nothing. `silence`: what is said of it while another process misses
    its beat; it came last at `silent_since`, and the work changes hands at `takeover_at`. `end`: how it ended.

    `kind`: server, worker or command. `label`: the name that it was given. `offers`: the step types that it works on,
    none without slots. `limits`: those of step types that it was told, as `{type: [work items, rate]}`. Both are null
    for a process of a version that did not write them, which beats only while it holds work.
    """

    __tablename__ = "owner"
    __table_args__ = {"sqlite_with_rowid": False}

    name: str = Field(primary_key=True)
    started_at: float
    beat: int = 0
    renewed_at: float
    lease: float
    slots: int
    version: str
    silence: str = ""
    silent_since: float | None = None
    takeover_at: float | None = None
    ended_at: float | None = None
    end: str = ""
    host: str = Field(default="", sa_column_kwargs={"server_default": ""})
    pid: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    kind: str = Field(default="server", sa_column_kwargs={"server_default": "server"})
    label: str = Field(default="", sa_column_kwargs={"server_default": ""})
    offers: list[str] | None = Field(default=None, sa_type=_json(), nullable=True)
    limits: dict[str, Any] | None = Field(default=None, sa_type=_json(), nullable=True)
