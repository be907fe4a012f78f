"""The table of those who work."""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class OwnerRow(SQLModel, table=True):
    """A process that runs work items, from a start to its end; work items and steps in planning name it.

    `beat`: counted up every quarter of `lease` (seconds) while it holds work, for others to see; when it was last, by
    its own clock, is `renewed_at`, which decides nothing. `silence`: what is said of it while another process misses
    its beat; by the clock of that one it came last at `silent_since`, and the work changes hands at `takeover_at`.
    `end`: how it ended.
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
