"""The tables of failures that somebody has yet to look at, and of what was said by those who did."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class AcknowledgementRow(SQLModel, table=True):
    """Who has said, when, and with which note, that failures of a run need no more looking at. Work items, failure
    groups and failures of a planning name theirs."""

    __tablename__ = "acknowledgement"

    id: int | None = Field(default=None, primary_key=True, sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    manager_id: int = Field(sa_type=sa.BigInteger, foreign_key="manager_job.id", ondelete="CASCADE", index=True)
    at: float
    who: str
    note: str


class OpenFailureCounter(SQLModel, table=True):
    """How many failed work items of a step nobody has acknowledged. Written only together with the change that it
    counts; a step that has none has no row, so that all rows together are few."""

    __tablename__ = "open_failure"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    number: int


class PlanningFailure(SQLModel, table=True):
    """A step that failed by its planning, and was not retried since."""

    __tablename__ = "planning_failure"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    acknowledgement_id: int | None = Field(default=None, nullable=True, sa_type=sa.BigInteger)
