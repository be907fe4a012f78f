"""What the JSON API sends and takes about definitions and their start."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from app.web.access import DefinitionSummary
from app.web.json_shapes import Revision


class StartJob(Struct, frozen=True, forbid_unknown_fields=True):
    """Starts a definition. `definition`: its id, or the absolute path of a `.toml` file on the server's machine."""

    definition: Annotated[str, Meta(min_length=1, max_length=4096)]
    parameters: dict[str, Any] = field(default_factory=dict)


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


class Definition(Struct, frozen=True):
    """A definition. `problem`: why it cannot be used; empty when it can. `obstacle`: what keeps it from running on this
    server, such as a key that is not set; empty when nothing does."""

    id: str
    name: str
    description: str
    tags: list[str]
    enabled: bool
    valid: bool
    problem: str
    obstacle: str
    parameters: list[ParameterJson]

    @classmethod
    def of(cls, definition: DefinitionSummary) -> Definition:
        return cls(
            definition.id,
            definition.name,
            definition.description,
            list(definition.tags),
            definition.enabled,
            definition.valid,
            definition.problem,
            definition.obstacle,
            [
                ParameterJson(name, kind, value, value is None, help)
                for name, kind, value, help in definition.parameters
            ],
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
