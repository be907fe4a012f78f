"""The tables of what people decide: which definitions may run and when, what is paused, and who did what."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.queue.models import stored_as_value
from app.queue.ticks import Outcome


class SwitchedOffDefinition(SQLModel, table=True):
    """A definition that a person has switched off, by its id: whatever becomes of its file, it does not run."""

    __tablename__ = "switched_off_definition"
    __table_args__ = {"sqlite_with_rowid": False}

    definition: str = Field(primary_key=True)
    at: float


class PageText(SQLModel, table=True):
    """A definition that was saved through the page, by the digest of what it says: it is trusted less than a file."""

    __tablename__ = "page_text"
    __table_args__ = {"sqlite_with_rowid": False}

    digest: str = Field(primary_key=True)
    definition: str
    at: float


class ScheduleRow(SQLModel, table=True):
    """The schedule of a definition. `next_at`: the first tick that was not dealt with; None without a schedule."""

    __tablename__ = "schedule"

    definition: str = Field(primary_key=True)
    cron: str
    time_zone: str
    next_at: int | None = Field(default=None, nullable=True, sa_type=sa.BigInteger)
    paused_at: float | None = None
    paused_by: str = ""


class ScheduleTick(SQLModel, table=True):
    """A tick that was dealt with, once and for all: whoever cannot add its row must not start it."""

    __tablename__ = "schedule_tick"
    __table_args__ = {"sqlite_with_rowid": False}

    definition: str = Field(primary_key=True)
    at: int = Field(primary_key=True, sa_type=sa.BigInteger)
    outcome: Outcome = Field(sa_type=stored_as_value(Outcome, "tick_outcome"))
    reason: str = ""
    manager_id: int | None = Field(default=None, nullable=True, sa_type=sa.BigInteger)
    dealt_with_at: float


class ActionRow(SQLModel, table=True):
    """What somebody did to a run, a step or a work item; without a run: to the queue, a definition, or a run that is
    gone. `key`: a name that its caller gave it, so that it is done once. `made_id`: the run that a rerun started."""

    __tablename__ = "action"

    id: int | None = Field(default=None, primary_key=True, sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    manager_id: int | None = Field(
        default=None, sa_type=sa.BigInteger, foreign_key="manager_job.id", ondelete="CASCADE", index=True
    )
    job_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    at: float
    who: str
    verb: str
    said: str
    key: str | None = Field(default=None, unique=True)
    made_id: int | None = Field(default=None, sa_type=sa.BigInteger)


class PauseRow(SQLModel, table=True):
    """Something of which nothing is claimed: the whole queue, a definition or a run, by its `scope` (see `pauses`)."""

    __tablename__ = "pause"
    __table_args__ = {"sqlite_with_rowid": False}

    scope: str = Field(primary_key=True)
    who: str
    at: float
