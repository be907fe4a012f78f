"""From the query of an address to the view it names. An empty value is the same as none: a form sends all its
fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from litestar.datastructures import MultiDict
from litestar.exceptions import ValidationException

from app.queue.log_reading import parse_place
from app.queue.models import Kind, Level
from app.queue.snapshot import DocumentFilter, JobFilter, RunFilter, Snapshot
from app.queue.status import Status
from app.queue.text import storable
from app.web import dom
from app.web.document_view import DocumentView
from app.web.documents_view import DocumentsView
from app.web.logs.query import LogQuery, LogZoom
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.views import ItemView, JobsView, RunLogView, StepView

E = TypeVar("E", bound=StrEnum)
Query = Mapping[str, str]

LONGEST_SEARCH = 1_000
"""Characters that can be searched for."""
LONGEST_TIME = 40
"""Characters of a time: more than any has."""
MOST_TAGS = 20
"""Tags that documents can be asked to carry all of."""


def queue_view(query: Query) -> QueueView:
    cursor = _number(query, "cursor")
    matching = RunFilter(
        status=_one_of(Status, query, "status"),
        definition=_text(query, "definition"),
        tag=_text(query, "tag"),
        text=_search(query),
        since=point_in_time("from", query.get("from")),
        until=point_in_time("to", query.get("to")),
    )
    return QueueView(matching, str(cursor) if cursor else None, _number(query, "newest"))


def jobs_view(query: Query) -> JobsView:
    matching = JobFilter(
        kind=_one_of(Kind, query, "kind"),
        status=_one_of(Status, query, "status"),
        manager_id=_number(query, "manager_id"),
        step_name=_text(query, "step"),
        definition=_text(query, "definition"),
        text=_search(query),
        tag=_text(query, "tag"),
        since=point_in_time("from", query.get("from")),
        until=point_in_time("to", query.get("to")),
        failure=dom.failure_pattern(query.get("failure") or None),
        open=query.get("open") == "true",
    )
    return JobsView(matching, query.get("cursor") or None)


def documents_view(query: MultiDict[Any]) -> DocumentsView:
    cursor = _number(query, "cursor")
    matching = DocumentFilter(
        manager_id=_number(query, "manager_id"),
        step_id=_number(query, "step_id"),
        worker_id=_number(query, "worker_id"),
        changed_by=_number(query, "changed_by"),
        text=_search(query),
        tags=_tags(query),
        source_type=_text(query, "source_type"),
        category=_text(query, "category"),
        since=point_in_time("from", query.get("from")),
        until=point_in_time("to", query.get("to")),
    )
    return DocumentsView(matching, str(cursor) if cursor else None)


def document_view(snapshot: Snapshot, document_id: int) -> DocumentView:
    """Raises UnknownDocument."""
    return DocumentView(snapshot.document(document_id, characters=0).id)


def job_view(snapshot: Snapshot, job_id: int, query: Query) -> RunView | StepView | ItemView:
    """The view of a job, whatever its kind. Raises UnknownJob."""
    job = snapshot.job(job_id)
    if job.kind is Kind.MANAGER:
        return RunView(job.id)
    assert job.step_name is not None
    if job.kind is Kind.STEP:
        return StepView(job.manager_id, job.step_name, log_query(query))
    return ItemView(job.id, job.manager_id, job.step_name, log_query(query))


def step_view(snapshot: Snapshot, manager_id: int, name: str, query: Query) -> StepView:
    """Raises UnknownJob."""
    return StepView(manager_id, snapshot.step(manager_id, name).name, log_query(query))


def run_log_view(snapshot: Snapshot, manager_id: int, query: Query) -> RunLogView:
    """Raises UnknownJob."""
    return RunLogView(snapshot.run(manager_id).id, log_query(query))


def log_zoom(snapshot: Snapshot, job_id: int) -> LogZoom:
    """The log of a job, whatever its kind. Raises UnknownJob."""
    job = snapshot.job(job_id)
    if job.kind is Kind.MANAGER:
        return LogZoom.of_run(snapshot.run(job.id))
    if job.kind is Kind.STEP:
        return LogZoom.of_step(snapshot.step(job.manager_id, job.name))
    return LogZoom.of_item(snapshot.item(job.id), snapshot.run(job.manager_id))


def log_query(query: Query) -> LogQuery:
    """Raises BadPlace. Of several places the most exact one counts."""
    places: dict[str, str] = {}
    for name in ("line", "after", "before"):
        if query.get(name) and not places:
            step_id, line = parse_place(query[name])
            places[name] = str(line) if step_id is None else f"{step_id}.{line}"
    return LogQuery(_one_of(Level, query, "level"), _search(query), wrap=query.get("wrap") != "off", **places)


def since(query: Query) -> int | None:
    """The revision of the page that opens a stream."""
    return _number(query, "since")


def _search(query: Query) -> str | None:
    text = _text(query, "q")
    if text and len(text) > LONGEST_SEARCH:
        raise ValidationException(f"q must have at most {LONGEST_SEARCH:,} characters; it has {len(text):,}")
    return text


def _tags(query: MultiDict[Any]) -> tuple[str, ...]:
    """Each once, in the order given."""
    tags = tuple(dict.fromkeys(storable(tag) for tag in query.getall("tag", []) if tag))
    if len(tags) > MOST_TAGS:
        raise ValidationException(f"tag must be given at most {MOST_TAGS} times; it is given {len(tags):,} times")
    return tags


def _text(query: Query, name: str) -> str | None:
    """Text as it is stored, to be compared with what is."""
    return storable(query.get(name, "")) or None


def _one_of(kind: type[E], query: Query, name: str) -> E | None:
    value = query.get(name)
    if not value:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise ValidationException(f"{name} must be one of {known}; {value!r} is none of them") from None


def point_in_time(name: str, value: str | None) -> float | None:
    """A time of day in the server's own time zone, as the fields of forms give it, or a whole day."""
    if not value:
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", value, re.ASCII):
            raise ValueError
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValidationException(f"{name} must be a time such as 2026-11-21T12:00; {value!r} is none") from None


def _number(query: Query, name: str) -> int | None:
    value = query.get(name)
    if not value:
        return None
    if not re.fullmatch("[0-9]{1,18}", value, re.ASCII):
        raise ValidationException(f"{name} must be a number; {value!r} is none")
    return int(value)
