"""What the JSON API sends and takes about definitions and their start."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from app.queue.definition_reading import DefinitionState, RunBrief
from app.queue.limits import MOST_PRIORITY
from app.queue.status import Status
from app.web import dom
from app.web.access import DefinitionSummary
from app.web.json_shapes import Revision, moment

Priority = Annotated[int, Meta(ge=-MOST_PRIORITY, le=MOST_PRIORITY)]


class StartJob(Struct, frozen=True, forbid_unknown_fields=True):
    """Starts a definition. `definition`: its id, or the absolute path of a `.toml` file on the server's machine."""

    definition: Annotated[str, Meta(min_length=1, max_length=4096)]
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: Priority | None = None
    """If it is to be another one than the definition's."""


class JobStarted(Struct, frozen=True):
    """A run that was started, and its page."""

    revision: Revision
    job_id: int
    url: str


class ParameterJson(Struct, frozen=True):
    """A parameter of a definition; without a default it has to be given."""

    name: str
    type: str
    default: Any
    required: bool
    help: str


class LastRun(Struct, frozen=True):
    """The latest run of a definition that is over."""

    job_id: int
    status: Status
    finished_at: datetime | None
    url: str

    @classmethod
    def of(cls, run: RunBrief) -> LastRun:
        finished = None if run.finished_at is None else moment(run.finished_at)
        return cls(run.id, run.status, finished, dom.job_url(run.id))


class SwitchDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a definition may be started."""

    enabled: bool


class Definition(Struct, frozen=True):
    """A definition. `problem`: why it cannot be used; empty when it can. `obstacle`: what keeps it from running on this
    server, such as a key that is not set; empty when nothing does. `enabled`: both its file and the switch on its page
    let it run. `in_progress`: its runs that are not over, of which there may be `concurrency`. `limits`: what limits
    its work items, one sentence each."""

    id: str
    name: str
    description: str
    tags: list[str]
    enabled: bool
    valid: bool
    problem: str
    obstacle: str
    parameters: list[ParameterJson]
    concurrency: int
    priority: int
    limits: list[str]
    in_progress: list[int]
    last_run: LastRun | None

    @classmethod
    def of(cls, definition: DefinitionSummary, state: DefinitionState) -> Definition:
        return cls(
            definition.id,
            definition.name,
            definition.description,
            list(definition.tags),
            definition.enabled and state.switched_off_at is None,
            definition.valid,
            definition.problem,
            definition.obstacle,
            [
                ParameterJson(name, kind, value, value is None, help)
                for name, kind, value, help in definition.parameters
            ],
            definition.concurrency,
            definition.priority,
            list(definition.limits),
            list(state.in_progress),
            LastRun.of(state.last) if state.last else None,
        )


class DefinitionAnswer(Struct, frozen=True):
    """One definition, and its text."""

    revision: Revision
    definition: Definition
    text: str


class Definitions(Struct, frozen=True):
    """All definitions."""

    revision: Revision
    total: int
    definitions: list[Definition]
