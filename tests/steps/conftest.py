"""A context in memory, so that a step type can be planned and run without a database."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from app.steps.outside.trouble import PassingError
from app.work.step_type import Context, Document, Level, PermanentError, Settings, StepType, StoredDocument, WorkItem

from .whole_runs import Runs, working


@dataclass
class RecordingContext:
    """Implements `Context`, and remembers everything that was said to it."""

    settings: Any
    stored: dict[str, StoredDocument] = field(default_factory=dict)
    lines: list[tuple[Level, str]] = field(default_factory=list)
    spawned: list[WorkItem] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Of all work items, planned and spawned."""
    totals: dict[str, float] = field(default_factory=dict)
    saves: list[str] = field(default_factory=list)
    attempt: int = 1
    cancelled: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    manager_id: int = 1
    step_id: int = field(default_factory=itertools.count(2).__next__)

    def log(self, message: str, level: Level = "info") -> None:
        self.lines.append((level, message))

    def save_document(self, document: Document) -> None:
        values = {each.name: getattr(document, each.name) for each in fields(Document)}
        self.stored[document.address] = StoredDocument(**values)
        self.saves.append(document.address)

    def delete_document(self, address: str) -> None:
        self.stored.pop(address, None)

    def add_to_totals(self, amounts: Mapping[str, float]) -> None:
        for name, amount in amounts.items():
            self.totals[name] = self.totals.get(name, 0) + amount

    def documents(
        self,
        *,
        tags: Iterable[str] = (),
        source_type: str | None = None,
        under: str | None = None,
        bodies: bool = True,
    ) -> Iterator[StoredDocument]:
        for address, document in sorted(self.stored.items()):
            inside = under is None or address == under or address.startswith(f"{under}/")
            if inside and set(tags) <= set(document.tags) and source_type in (None, document.source_type):
                yield document if bodies else replace(document, body="")

    def document(self, address: str) -> StoredDocument | None:
        return self.stored.get(address)

    def spawn(self, item: WorkItem, *, at_most: int | None = None) -> None:
        if item.name not in self.names and (at_most is None or len(self.names) < at_most):
            self.names.add(item.name)
            self.spawned.append(item)

    def messages(self, level: Level) -> list[str]:
        return [message for said, message in self.lines if said == level]


@dataclass
class Stage:
    """Runs a whole step in this process, in the order of its work items, spawned ones last."""

    context: RecordingContext
    step_type: StepType[Any]

    def plan(self) -> list[WorkItem]:
        planned = self.step_type.plan(self.context)
        assert isinstance(planned, Iterable)
        return list(planned)

    async def planned(self) -> list[WorkItem]:
        """As `plan`, also for a step type that plans on the loop."""
        planned = self.step_type.plan(self.context)
        return list(planned) if isinstance(planned, Iterable) else [item async for item in planned]

    async def run(self) -> dict[str, Any]:
        """The result of each work item by its name; an exception where it failed."""
        results: dict[str, Any] = {}
        waiting = await self.planned()
        self.context.names |= {item.name for item in waiting}
        while waiting:
            item = waiting.pop(0)
            assert item.name not in results, "two work items of one name"
            try:
                result = self.step_type.run(self.context, item)
                results[item.name] = await result if inspect.isawaitable(result) else result
            except (RuntimeError, PermanentError, PassingError) as error:
                results[item.name] = error
            waiting += self.context.spawned
            self.context.spawned = []
        return results


MakeStage = Callable[..., Stage]


@pytest.fixture
def stage() -> MakeStage:
    """stage(StepType, settings..., documents=those of an earlier step)"""

    def make(
        step_type: type[StepType[Any]], documents: dict[str, StoredDocument] | None = None, **settings: Any
    ) -> Stage:
        checked: Settings = step_type.settings_type.model_validate(settings)
        context = RecordingContext(checked, documents if documents is not None else {})
        _: Context[Any] = context  # the type checker says when the protocol has grown
        return Stage(context, step_type.variant(checked)())

    return make


@pytest.fixture
async def runs(tmp_path: Path) -> AsyncIterator[Runs]:
    """runs.run("a definition"): what came of it"""
    async with working(tmp_path) as runs:
        yield runs
