"""The tables of bulk actions: sets of jobs that were frozen when somebody looked at them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.queue.models import Kind, stored_as_value
from app.queue.status import Status


class FrozenSet(SQLModel, table=True):
    """The jobs that were in a list at one moment. `token`: its address, which nobody can guess. `asked`: the status
    that the list asked for. `total`: how many there are; None while they are being written down. `action`, `note`,
    `place` and `who`: what was to be done, and by whom, once that was confirmed; `manager_id`: the run that does it."""

    __tablename__ = "frozen_set"

    id: int | None = Field(default=None, primary_key=True, sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    token: str = Field(unique=True)
    at: float
    words: str
    asked: str = ""
    total: int | None = None
    action: str | None = None
    note: str = ""
    place: str = ""
    who: str = ""
    manager_id: int | None = Field(
        default=None, sa_type=sa.BigInteger, foreign_key="manager_job.id", ondelete="SET NULL", index=True
    )


class FrozenJob(SQLModel, table=True):
    """A job of a frozen set, as it was then. `failed`, `is_open`: whether it, or something in it, had failed, and
    whether that was not acknowledged. `outcome`: what the action made of it, once it has come to it."""

    __tablename__ = "frozen_job"
    __table_args__ = {"sqlite_with_rowid": False}

    set_id: int = Field(primary_key=True, sa_type=sa.BigInteger)
    number: int = Field(primary_key=True, sa_type=sa.BigInteger)
    job_id: int = Field(sa_type=sa.BigInteger)
    kind: Kind = Field(sa_type=stored_as_value(Kind, "frozen_kind"))
    status: Status = Field(sa_type=stored_as_value(Status, "frozen_status"))
    finished_at: float | None = None
    failed: bool = False
    is_open: bool = False
    outcome: str | None = None
    why: str = ""
