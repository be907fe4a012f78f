"""The tables of limits: those of step types, how far rates are used up, and why steps wait."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class StepTypeLimit(SQLModel, table=True):
    """The limits of a step type in all definitions, as the server that works was told."""

    __tablename__ = "step_type_limit"
    __table_args__ = {"sqlite_with_rowid": False}

    type: str = Field(primary_key=True)
    most_running: int | None = None
    rate: str | None = None


class LimitRow(SQLModel, table=True):
    """Something that is limited, by its scope (see `limits`): whoever claims of it holds its row. `full_at`: when as
    many may begin together as its rate allows, if it has one."""

    __tablename__ = "limit_state"
    __table_args__ = {"sqlite_with_rowid": False}

    scope: str = Field(primary_key=True)
    full_at: float


class StepWait(SQLModel, table=True):
    """Why the work items of a step that wait are not begun, if it is anything but the want of a free slot. `scope`: the
    limit that has to be freed; empty if time alone does it. `held_by`: another run that holds the limit."""

    __tablename__ = "step_wait"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(
        primary_key=True,
        sa_type=sa.BigInteger,
        foreign_key="step_job.id",
        ondelete="CASCADE",
        sa_column_kwargs={"autoincrement": False},
    )
    scope: str
    sentence: str
    held_by: int | None = Field(default=None, sa_type=sa.BigInteger)
