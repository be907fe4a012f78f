"""Reading logs: one log per step, seen as that of a work item, a step, or a whole run. The lines are the same.

A line never changes, and lines are only added at the end of a step's log. How many there are of each level is counted
when they are written, so that a window of a log costs the same however long the log is. Only a search for text has to
look at the lines themselves.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, case, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.engine import Connection

from app.queue.models import SEVERE, Level
from app.queue.places import place_number
from app.queue.records import LevelCounts, LogLine, LogPage
from app.queue.tables import log_counter, log_entry, step_job, worker_job
from app.queue.text_search import contains

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
        self._levels: dict[int, LevelCounts] = {}

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
        if unread := [step_id for step_id in step_ids if step_id not in self._levels]:
            numbers: defaultdict[int, dict[Level, int]] = defaultdict(dict)
            for row in self._connection.execute(_levels, {"step_ids": unread}):
                numbers[row.step_id][row.level] = row.number
            self._levels.update((step_id, LevelCounts.of(numbers[step_id])) for step_id in unread)
        return {step_id: self._levels[step_id] for step_id in step_ids}

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
        place = after if after is not None else before
        rows: list[LogLine] = []
        for query in self._parts(matching, None if place is None else parse_place(place), after is not None):
            rows += [LogLine(*row) for row in self._connection.execute(query.limit(limit - len(rows)))]
            if len(rows) == limit:
                break
        lines = rows if after is not None else rows[::-1]
        following = f"{lines[-1].step_id}.{lines[-1].line}" if lines else after
        return LogPage(self._total(matching), tuple(lines), following)

    def _parts(self, matching: LogFilter, place: tuple[int | None, int] | None, forward: bool) -> Iterator[Select[Any]]:
        """The lines on that side of the place: a query for each step, in the order in which they are read."""
        ordered = _forward if forward else _backward
        for step_id in self._step_ids(matching) if forward else reversed(self._step_ids(matching)):
            of_step = replace(matching, manager_id=None, step_id=step_id)
            query = ordered(_lines.where(*self._conditions(of_step)), of_step)
            at_step, line = place or (None, 0)
            if place is None or (at_step is not None and (step_id > at_step) == forward and step_id != at_step):
                yield query
            elif at_step in (None, step_id):
                yield query.where(log_entry.c.line > line if forward else log_entry.c.line < line)

    def _step_ids(self, matching: LogFilter) -> list[int]:
        if matching.worker_id is not None:
            query = select(worker_job.c.step_id).where(worker_job.c.id == matching.worker_id)
        else:
            query = select(step_job.c.id).where(*_step_conditions(matching)).order_by(step_job.c.id)
        return list(self._connection.execute(query).scalars())

    def _total(self, matching: LogFilter) -> int:
        if matching.worker_id is None and not matching.text:
            return LevelCounts.sum(self.levels(self._step_ids(matching)).values()).at_least(matching.level)
        totals = (replace(matching, manager_id=None, step_id=step_id) for step_id in self._step_ids(matching))
        return sum(self._number(each) for each in totals)

    def _number(self, matching: LogFilter) -> int:
        query = select(func.count()).select_from(log_entry).where(*self._conditions(matching))
        number: int = self._connection.execute(query).scalar_one()
        return number

    def _conditions(self, matching: LogFilter) -> list[ColumnElement[bool]]:
        """What a line of one step has to fulfil."""
        conditions: list[ColumnElement[bool]] = []
        if matching.worker_id is not None:
            conditions.append(log_entry.c.worker_id == matching.worker_id)
        else:
            conditions.append(log_entry.c.step_id == matching.step_id)
        if matching.level is not None:
            conditions += _at_least(matching.level)
        if matching.text:
            conditions.append(contains(self._connection, log_entry.c.message, matching.text))
        return conditions


def _forward(query: Select[Any], matching: LogFilter) -> Select[Any]:
    return query.order_by(*_order(matching))


def _backward(query: Select[Any], matching: LogFilter) -> Select[Any]:
    return query.order_by(*(column.desc() for column in _order(matching)))


def _order(matching: LogFilter) -> list[Any]:
    """The lines of a work item are all of one step, and are found in their order by an index that knows no steps."""
    return [log_entry.c.line] if matching.worker_id is not None else [log_entry.c.step_id, log_entry.c.line]


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
