"""The step type contract: everything that the author of a step type needs to know.

A step type is the code behind `type = "..."` in a definition. It *plans* a step's work items and *runs* each of them::

    class WordCount(StepType[WordCountSettings]):
        name = "word_count"

        def plan(self, context):
            for path in Path(context.settings.folder).glob("*.txt"):
                yield WorkItem(path.name, {"path": str(path)})

        def run(self, context, item):
            words = len(Path(item.input["path"]).read_text().split())
            context.log(f"{item.name}: {words} words")
            return {"words": words}

Write `async def` for work that waits (it runs on the server's event loop, beside the page) and plain `def` for work
that computes or blocks (it runs in a process of its own, and may be killed). The two may be mixed in one step type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from app.queue.documents import Document, StoredDocument
from app.queue.run_plan import Retry

__all__ = [
    "Cancelled",
    "Context",
    "Document",
    "Obstacle",
    "PassingError",
    "PermanentError",
    "Retry",
    "Settings",
    "StepType",
    "StoredDocument",
    "WorkItem",
]

Level = Literal["debug", "info", "warn", "error"]


class Settings(BaseModel):
    """A step type's settings: one field per key of `[step.<name>]`. Unknown keys and wrong types are refused at
    load."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, strict=True)


S = TypeVar("S", bound=Settings)
S_co = TypeVar("S_co", bound=Settings, covariant=True)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One unit of work. `name` is unique within its step: a second item of the same name is the same item, and is
    not added again, so that planning may be repeated after a crash. `input` is anything that JSON can hold."""

    name: str
    input: Any = field(default=None)


class PermanentError(Exception):
    """Raised by a step type when trying again cannot help, however many attempts are left. Its message is shown as it
    is."""


class PassingError(Exception):
    """What may be over the next time. Any exception that is no PermanentError is taken for that; this one can say how
    long to wait: the next attempt does not begin for `retry_after` seconds, but after a day at the latest."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Cancelled(KeyboardInterrupt):
    """Raised in a plain `def` handler, wherever it is at, when its work is to end: it was cancelled, has timed out, or
    the server stops. As after Ctrl-C: `finally` runs, `except Exception` lets it pass, and `subprocess.run` ends its
    program."""

    def __str__(self) -> str:
        return "its process was told to end"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a step cannot run here, in one sentence with the way out. `settings`: those of the step that may remove it,
    so that a definition which takes one of them from a parameter can still be started, with another value."""

    reason: str
    settings: tuple[str, ...] = ()


class Context(Protocol[S_co]):
    """What a running plan or work item can see and do. Every call returns at once; what it says becomes durable in
    order, at the latest together with the end of the work item."""

    @property
    def settings(self) -> S_co: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of this run, by name."""

    @property
    def manager_id(self) -> int: ...

    @property
    def step_id(self) -> int: ...

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""

    @property
    def cancelled(self) -> bool:
        """True once this work is to end: it was cancelled, has timed out, or the server stops. A handler that loops
        may look now and then, and return where it suits it; it has the grace to do so."""

    def log(self, message: str, level: Level = "info") -> None:
        """Adds a log entry to this step, owned by this work item."""

    def save_document(self, document: Document) -> None:
        """Creates the document, or updates the one that has the same address. A save that changes nothing writes
        nothing."""

    def delete_document(self, address: str) -> None:
        """Removes the document of that address, if there is one."""

    def add_to_totals(self, amounts: Mapping[str, float]) -> None:
        """Adds to what this step has used in all, by name, such as tokens. Totals are shown with the step; every
        attempt counts, also one that fails afterwards."""

    def documents(
        self,
        *,
        tags: Iterable[str] = (),
        source_type: str | None = None,
        under: str | None = None,
        bodies: bool = True,
    ) -> Iterator[StoredDocument]:
        """The documents that carry all of `tags`, are of `source_type`, and whose address is `under` or starts with
        `under` and a slash; ordered by address, all as they are when the first is read. Without `bodies`, which
        costs far less, their bodies are empty."""

    def document(self, address: str) -> StoredDocument | None: ...

    def spawn(self, item: WorkItem, *, at_most: int | None = None) -> None:
        """Adds one more work item to this step (a crawler that found a link), unless the step has `at_most` of them
        already, those that have ended included."""


class StepType(ABC, Generic[S]):
    """Base of every step type. Instances keep no state: a work item may run in any process."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One sentence for people who choose a step type."""
    settings_type: ClassVar[type[Settings]]
    timeout: ClassVar[float | None] = None
    """Seconds that one work item may take, when the definition sets no `timeout`. None: no limit."""
    retry: ClassVar[Retry | None] = None
    """How often a work item is tried, and when again, as far as the definition does not say. None: 3 times with
    `on_error = "retry"`, once otherwise."""
    page_may_use: ClassVar[bool] = True
    """Whether definitions that are written in the page may use it. False for one that does whatever its settings say:
    it is kept for those who can write files on this machine."""
    page_patterns: ClassVar[Mapping[str, str]] = {}
    """What settings must look like in such definitions, placeholders and all: regular expressions by name."""

    @classmethod
    def obstacle(cls, settings: S) -> Obstacle | None:
        """What keeps a step of these settings from running on this machine as it is, such as a key that is not set.
        Asked before a run starts, and whenever its definition is shown: it must be quick, and reach for nothing."""
        return None

    @classmethod
    def variant(cls, settings: S) -> type[StepType[S]]:
        """The class whose `run` does the work of these settings: for a step type whose work waits with some settings,
        and computes with others."""
        return cls

    @abstractmethod
    def plan(self, context: Context[S]) -> Iterable[WorkItem] | AsyncIterable[WorkItem]:
        """Yields the step's work items; those already yielded start while planning goes on."""

    @abstractmethod
    def run(self, context: Context[S], item: WorkItem) -> Any | Awaitable[Any]:
        """Does one work item, and returns a result that JSON can hold. Raising fails the item with the exception's
        text."""
