"""Reading logs: one log per step, seen as that of a work item, a step, or a whole run. The lines are the same.

A line never changes, and lines are only added at the end of a step's log. How many there are of each level is counted
when they are written, so that a window of a log costs the same however long the log is. Only a search for text has to
look at the lines themselves.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.engine import Connection

from app.queue.models import SEVERE, Level
from app.queue.places import place_number
from app.queue.records import LevelCounts, LogLine, LogPage
from app.queue.tables import log_counter, log_entry, step_job, worker_job

_SEVERITY = tuple(Level)

CODES_PER_LINE = len(_SEVERITY)
"""A line that was found is told by one number: its own times this, plus its severity."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines: of a run, of a step of it, or of a work item; at least as severe as `level`; with `text` in them."""

    manager_id: int | None = None
    step_id: int | None = None
    worker_id: int | None = None
    level: Level | None = None
    text: str | None = None


class BadPlace(ValueError):
    """A place in a log that no line has."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place!r} is not a place in a log; give a line number, or `next` of an earlier answer")


_columns = (
    log_entry.c.step_id,
    step_job.c.name.label("step_name"),
    log_entry.c.line,
    log_entry.c.at,
    log_entry.c.level,
    log_entry.c.message,
    log_entry.c.worker_id,
    worker_job.c.name.label("worker_name"),
)
_lines = (
    select(*_columns)
    .join(step_job, step_job.c.id == log_entry.c.step_id)
    .outerjoin(worker_job, worker_job.c.id == log_entry.c.worker_id)
)
_window = _lines.where(
    log_entry.c.step_id == bindparam("of_step"),
    log_entry.c.line >= bindparam("first"),
    log_entry.c.line <= bindparam("last"),
).order_by(log_entry.c.line)
_at = _lines.where(
    log_entry.c.step_id == bindparam("of_step"), log_entry.c.line.in_(bindparam("numbers", expanding=True))
).order_by(log_entry.c.line)
_levels = select(log_counter).where(log_counter.c.step_id.in_(bindparam("step_ids", expanding=True)))
_levels_of_item = (
    select(log_entry.c.level, func.count()).where(log_entry.c.worker_id == bindparam("of_worker"))
).group_by(log_entry.c.level)
_severity = case(*((log_entry.c.level == level, number) for number, level in enumerate(_SEVERITY)))
_codes = select((log_entry.c.line * CODES_PER_LINE + _severity).label("code")).order_by(log_entry.c.line)


class LogReading:
    """Reads logs through one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def window(self, step_id: int, first: int, last: int) -> tuple[LogLine, ...]:
        rows = self._connection.execute(_window, {"of_step": step_id, "first": first, "last": last})
        return tuple(LogLine(*row) for row in rows)

    def at(self, step_id: int, numbers: Sequence[int]) -> tuple[LogLine, ...]:
        """The lines of those numbers."""
        rows = self._connection.execute(_at, {"of_step": step_id, "numbers": list(numbers)})
        return tuple(LogLine(*row) for row in rows)

    def after(self, matching: LogFilter, line: int, limit: int) -> tuple[LogLine, ...]:
        """Up to that many lines of one step that follow a line."""
        query = _lines.where(*self._conditions(matching), log_entry.c.line > line)
        return tuple(LogLine(*row) for row in self._connection.execute(_forward(query, matching).limit(limit)))

    def before(self, matching: LogFilter, line: int | None, limit: int, skip: int = 0) -> tuple[LogLine, ...]:
        """Up to that many lines of one step that precede a line, or its end; `skip`: not the last ones of them."""
        query = _lines.where(*self._conditions(matching))
        if line is not None:
            query = query.where(log_entry.c.line < line)
        rows = self._connection.execute(_backward(query, matching).limit(limit).offset(skip)).all()
        return tuple(LogLine(*row) for row in reversed(rows))

    def levels(self, step_ids: Sequence[int]) -> dict[int, LevelCounts]:
        """How many lines of each level the logs of steps have."""
        numbers: defaultdict[int, dict[Level, int]] = defaultdict(dict)
        for row in self._connection.execute(_levels, {"step_ids": list(step_ids)}):
            numbers[row.step_id][row.level] = row.number
        return {step_id: LevelCounts.of(numbers[step_id]) for step_id in step_ids}

    def levels_of_item(self, worker_id: int) -> LevelCounts:
        rows = self._connection.execute(_levels_of_item, {"of_worker": worker_id})
        return LevelCounts.of({row[0]: row[1] for row in rows})

    def matches(self, matching: LogFilter, after: int) -> array[int]:
        """All lines of one step after a line that match, in order, as codes (see CODES_PER_LINE).

        There may be a million of them: gathered in the database they come in half the time of as many rows.
        """
        codes = _codes.where(*self._conditions(matching), log_entry.c.line > after).subquery()
        if self._is_sqlite:
            gathered = self._connection.execute(select(func.json_group_array(codes.c.code))).scalar_one()
            return array("q", msgspec.json.decode(gathered, type=list[int]))
        in_order = func.array_agg(aggregate_order_by(codes.c.code, codes.c.code))
        return array("q", self._connection.execute(select(in_order)).scalar_one() or ())

    @property
    def _is_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"

    def page(self, matching: LogFilter, limit: int, after: str | None, before: str | None) -> LogPage:
        """Lines after a place, or before one; without either, the newest. `next` goes on after the last line given."""
        query: Any = _lines.where(*self._conditions(matching))
        if after is not None:
            query = _forward(query.where(_beyond(after)), matching)
        else:
            query = query if before is None else query.where(~_beyond(before, inclusive=True))
            query = _backward(query, matching)
        rows = [LogLine(*row) for row in self._connection.execute(query.limit(limit))]
        lines = rows if after is not None else rows[::-1]
        following = f"{lines[-1].step_id}.{lines[-1].line}" if lines else after
        return LogPage(self._total(matching), tuple(lines), following)

    def _total(self, matching: LogFilter) -> int:
        if matching.worker_id is None and not matching.text:
            step_ids = self._connection.execute(select(step_job.c.id).where(*_step_conditions(matching))).scalars()
            return LevelCounts.sum(self.levels(list(step_ids)).values()).at_least(matching.level)
        query = (
            select(func.count())
            .select_from(log_entry)
            .join(step_job, step_job.c.id == log_entry.c.step_id)
            .where(*self._conditions(matching))
        )
        return int(self._connection.execute(query).scalar_one())

    def _conditions(self, matching: LogFilter) -> list[ColumnElement[bool]]:
        conditions = _step_conditions(matching) if matching.manager_id is not None else []
        if matching.worker_id is not None:
            conditions.append(log_entry.c.worker_id == matching.worker_id)
        elif matching.step_id is not None:
            conditions.append(log_entry.c.step_id == matching.step_id)
        if matching.level is not None:
            conditions += _at_least(matching.level)
        if matching.text:
            conditions.append(self._contains(matching.text))
        return conditions

    def _contains(self, wanted: str) -> ColumnElement[bool]:
        """Whatever the case of letters. SQLite's own LIKE knows that (of ASCII), and is twice as fast as comparing
        lowered texts."""
        escaped = wanted.replace("/", "//").replace("%", "/%").replace("_", "/_")
        message, pattern = log_entry.c.message, literal(f"%{escaped}%")
        if self._is_sqlite:
            return message.like(pattern, escape="/")
        return message.ilike(pattern, escape="/")


def _forward(query: Select[Any], matching: LogFilter) -> Select[Any]:
    return query.order_by(*_order(matching))


def _backward(query: Select[Any], matching: LogFilter) -> Select[Any]:
    return query.order_by(*(column.desc() for column in _order(matching)))


def _order(matching: LogFilter) -> list[Any]:
    """The lines of a work item are all of one step, and are found in their order by an index that knows no steps."""
    return [log_entry.c.line] if matching.worker_id is not None else [log_entry.c.step_id, log_entry.c.line]


def _beyond(place: str, inclusive: bool = False) -> ColumnElement[bool]:
    """Whether a line comes after `place`: a line number of a step's log, or `step_id.line` in that of a run."""
    step_id, line = parse_place(place)
    in_step = log_entry.c.line >= line if inclusive else log_entry.c.line > line
    if step_id is None:
        return in_step
    return or_(log_entry.c.step_id > step_id, and_(log_entry.c.step_id == step_id, in_step))


def parse_place(place: str) -> tuple[int | None, int]:
    """The step, if it is named, and the line. Raises BadPlace."""
    step_id, dot, line = place.rpartition(".")
    try:
        return place_number(step_id) if dot else None, place_number(line)
    except ValueError:
        raise BadPlace(place) from None


def _step_conditions(matching: LogFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if matching.manager_id is not None:
        conditions.append(step_job.c.manager_id == matching.manager_id)
    if matching.step_id is not None:
        conditions.append(step_job.c.id == matching.step_id)
    return conditions


def _at_least(level: Level) -> list[ColumnElement[bool]]:
    wanted = _SEVERITY[_SEVERITY.index(level) :]
    conditions: list[ColumnElement[bool]] = [log_entry.c.level.in_(wanted)] if level is not Level.DEBUG else []
    return [text(SEVERE), *conditions] if level in (Level.WARN, Level.ERROR) else conditions  # type: ignore[list-item]
