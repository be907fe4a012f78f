"""The `Context` of work on the event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.queue.document_reading import read_document, read_documents
from app.queue.documents import Document, StoredDocument
from app.queue.models import Level
from app.queue.store.claim import ClaimedStep
from app.queue.store.plan import NewItem
from app.queue.text import storable, storable_value
from app.queue.totals import amounts as storable_amounts
from app.work.failures import storable_document
from app.work.outbox import Outbox
from app.work.step_type import WorkItem


class LoopContext:
    """What an `async def` plan or run can see and do. `worker_id` is None while planning."""

    def __init__(
        self,
        step: ClaimedStep,
        settings: Any,
        outbox: Outbox,
        database_address: str,
        worker_id: int | None,
        attempt: int,
    ) -> None:
        self.settings = settings
        self.parameters = step.parameters
        self.manager_id = step.manager_id
        self.step_id = step.step_id
        self.attempt = attempt
        self.cancelled = False
        self._outbox = outbox
        self._worker_id = worker_id
        self._database_address = database_address

    def log(self, message: str, level: str = "info") -> None:
        self._outbox.log(self.step_id, self._worker_id, Level(level), str(message))

    def save_document(self, document: Document) -> None:
        self._outbox.save_document(self.step_id, self._worker_id, storable_document(document))

    def delete_document(self, address: str) -> None:
        self._outbox.delete_document(self.step_id, storable(address))

    def add_to_totals(self, amounts: Mapping[str, float]) -> None:
        self._outbox.add_to_totals(self.step_id, storable_amounts(amounts))

    def documents(
        self,
        *,
        tags: Iterable[str] = (),
        source_type: str | None = None,
        under: str | None = None,
        bodies: bool = True,
    ) -> Iterator[StoredDocument]:
        return read_documents(self._database_address, tags=tags, source_type=source_type, under=under, bodies=bodies)

    def document(self, address: str) -> StoredDocument | None:
        return read_document(self._database_address, address)

    def spawn(self, item: WorkItem, *, at_most: int | None = None) -> None:
        if self._worker_id is None:
            raise RuntimeError("a plan yields its work items; only a running work item spawns more")
        new = NewItem(storable(item.name), storable_value(item.input), at_most)
        self._outbox.spawn(self.step_id, self._worker_id, self.attempt, new)
