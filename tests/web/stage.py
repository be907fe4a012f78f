"""A server without anybody who works: tests move its queue along, one store verb at a time, and look at its pages.

In a process of its own it serves a socket that it is given. The verbs are called over HTTP, under /stage.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from litestar import Litestar, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import FromPath, JSONBody

from app.queue.database import Database
from app.queue.documents import Document
from app.queue.models import Kind
from app.queue.run_plan import Retry, RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from app.queue.step_monitor import StepMonitor
from app.queue.store.bulk import begin_set, end_set
from app.queue.store.cancel import cancel
from app.queue.store.claim import ClaimedItem, claim
from app.queue.store.documents import Saving, delete_documents, save_documents
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import ClaimedPlan, NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.queue.store.totals import add_to_totals
from app.queue.writer import Writer
from app.web import errors, security, site
from app.web.access import Access, DefinitionSummary, NoSuchDefinition, NotStartable
from app.web.api import api_router
from app.web.bulk import _write_down
from app.web.live.hub import HEARTBEAT, Live
from app.web.templating import environment, template_config
from app.web.views import JobsView
from tests.queue.storage_faults import unreadable

T = TypeVar("T")

TRIAL = DefinitionSummary(
    "trial", "Trial", "One step.", (), True, "", parameters=(("folder", "folder", None, "Where to look."),)
)
NOON = 1_800_000_000.0


class TrialCatalog:
    """One definition, `trial`, with one parameter that has to be given."""

    troubles = ()
    editor = None

    def definitions(self) -> Sequence[DefinitionSummary]:
        return [TRIAL]

    def plan(self, definition: str, parameters: Mapping[str, Any]) -> RunPlan:
        if definition != TRIAL.id:
            raise NoSuchDefinition(f"there is no definition {definition}; there is {TRIAL.id}")
        if "folder" not in parameters:
            raise NotStartable({"folder": "must be given"})
        return RunPlan(TRIAL.id, TRIAL.name, (StepPlan("only", "trial_type"),), parameters=dict(parameters))

    def ensure_repeatable(self, plan: RunPlan) -> None: ...


class CountedAccess(Access):
    """Knows how often it was read from."""

    reads = 0

    async def read(self, reading: Callable[[Snapshot], T]) -> T:
        self.reads += 1
        return await super().read(reading)


class Stage:
    """The verbs, in the words of a test."""

    def __init__(self, access: CountedAccess, live: Live | None = None) -> None:
        self.access = access
        self._live = live
        self._write = access.writer
        self._claimed: defaultdict[int, list[ClaimedItem]] = defaultdict(list)
        self._planning: list[ClaimedPlan] = []
        self._lost = ExitStack()

    async def start(
        self,
        steps: Sequence[str],
        name: str = "Trial",
        definition: str = "",
        depends: bool = True,
        tags: Sequence[str] = (),
        attempts: int = 1,
    ) -> int:
        """Starts a run whose steps follow each other, or all begin at once."""
        plans = tuple(
            StepPlan(
                step,
                "trial_type",
                depends=(steps[place - 1],) if place and depends else (),
                retry=Retry(attempts=attempts),
            )
            for place, step in enumerate(steps)
        )
        return await self._write(
            start, RunPlan(definition or name, name, plans, tuple(tags), concurrency=1000, text="[step.x]")
        )

    async def plan(self, items: Sequence[str]) -> list[int]:
        """Plans every step that is ready, with these items; returns the ids of the steps."""
        await self.begin_planning(items)
        planned, self._planning = self._planning, []
        for each in planned:
            await self._write(end_planning, each.step.step_id, each.attempt)
        return [each.step.step_id for each in planned]

    async def begin_planning(self, items: Sequence[str]) -> None:
        """The same, but for the last word: their planning goes on until `plan`, which may add more."""
        self._planning += await self._write(claim_plans, 100)
        for each in self._planning:
            await self._write(plan, each.step.step_id, each.attempt, [NewItem(item, {"name": item}) for item in items])

    async def claim(self, step_id: int, most: int = 1) -> list[int]:
        items = (await self._write(claim, {step_id: most})).items
        self._claimed[step_id] += items
        return [item.id for item in items]

    async def complete(self, step_id: int, most: int = 1) -> None:
        endings = [Ending(item.id, item.attempt, {"done": item.name}) for item in self._take(step_id, most)]
        await self._write(finish, step_id, endings)

    async def fail(self, step_id: int, most: int = 1, error: str = "boom") -> None:
        taken = self._take(step_id, most)
        endings = [Ending(item.id, item.attempt, error=error, traceback="Traceback\n  boom") for item in taken]
        await self._write(finish, step_id, endings)

    async def log(
        self, step_id: int, messages: Sequence[str], level: str = "info", worker_id: int | None = None
    ) -> None:
        await self._write(log, [Line(step_id, worker_id, NOON, level, message) for message in messages])

    async def log_levels(self, step_id: int, lines: Sequence[tuple[str, str]]) -> None:
        """Lines as (level, message), in one batch."""
        await self._write(log, [Line(step_id, None, NOON, level, message) for level, message in lines])

    async def save(self, step_id: int, worker_id: int, addresses: Sequence[str]) -> None:
        """Saves documents that say who saved them last."""
        documents = [Document(address, address, f"by {worker_id}", "trial") for address in addresses]
        await self._write(save_documents, step_id, [Saving(document, worker_id) for document in documents])

    async def write_documents(
        self, step_id: int, documents: Sequence[Mapping[str, Any]], worker_id: int | None = None
    ) -> None:
        """Saves documents as they are given, with an address of their own if they have none."""
        whole = ({"address": f"note:{each['title']}", "body": "", "source_type": "note", **each} for each in documents)
        savings = [
            Saving(Document(**{**each, "tags": tuple(each.get("tags", ()))}), worker_id)  # type: ignore[arg-type]
            for each in whole
        ]
        await self._write(save_documents, step_id, savings)

    async def remove_documents(self, addresses: Sequence[str]) -> None:
        await self._write(delete_documents, addresses)

    async def use(self, step_id: int, amounts: dict[str, float]) -> None:
        await self._write(add_to_totals, step_id, amounts)

    async def trouble(self, of: str) -> None:
        """What no handler expects."""
        raise RuntimeError(of)

    async def cancel(self, manager_id: int) -> bool:
        return await self._write(cancel, manager_id, "cancelled by a person")

    async def freeze(self, at: str, kind: str, status: str) -> None:
        """The preview of a bulk action, at an address that the test chooses: /bulk/{at}."""
        matching = JobFilter(kind=Kind(kind), status=Status(status))
        set_id = await self._write(begin_set, at, JobsView(matching).words, status)
        await self._write(end_set, set_id, await _write_down(self.access, matching, set_id))

    async def lose_the_database(self) -> None:
        """Nothing can be read until it is found again."""
        self._lost.enter_context(unreadable(self.access.database))

    async def find_the_database(self) -> None:
        self._lost.close()

    async def reads(self) -> int:
        return self.access.reads

    async def watchers(self) -> int:
        """How many streams are open."""
        return sum(len(channel.subscribers) for channel in self._live._channels.values()) if self._live else 0

    def _take(self, step_id: int, most: int) -> list[ClaimedItem]:
        taken, self._claimed[step_id] = self._claimed[step_id][:most], self._claimed[step_id][most:]
        return taken


@asynccontextmanager
async def open_access(directory: Path, url: str = "") -> AsyncIterator[CountedAccess]:
    """`url`: of a PostgreSQL database, which is used instead."""
    database = Database.named(url, directory)
    bring_up_to_date(database)
    monitor = StepMonitor()
    with Snapshot.of(database) as snapshot:
        monitor.revision = snapshot.revision
    writer = Writer(database, monitor.hear)
    access = CountedAccess(database, writer, monitor, TrialCatalog())
    try:
        yield access
    finally:
        await writer.close()
        access.close()
        database.close()


@post("/stage/{verb:str}", status_code=200)
async def act(verb: FromPath[str], data: JSONBody[dict[str, Any]], state: State) -> Any:
    return {"answer": await getattr(state.stage, verb)(**data)}


def staged_app(
    directory: Path, heartbeat: float = HEARTBEAT, embedding_sites: tuple[str, ...] = (), url: str = ""
) -> Litestar:
    """The pages, as the product serves them, over a queue that only the test moves.

    To register all routes takes longer than most tests: those of one process share an app, one after the other."""
    app = _app(heartbeat, embedding_sites)
    app.state.directory = directory
    app.state.url = url
    return app


@cache
def _app(heartbeat: float, embedding_sites: tuple[str, ...]) -> Litestar:
    jinja = environment()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        assert "access" not in app.state, "this app is in use"
        async with (
            open_access(app.state.directory, app.state.url) as access,
            Live(access, jinja, heartbeat=heartbeat).running() as live,
        ):
            app.state.update({"access": access, "live": live, "stage": Stage(access, live)})
            yield
        for name in ("access", "live", "stage"):
            del app.state[name]

    app = Litestar(
        [*site.handlers(), api_router(), act],
        lifespan=[lifespan],
        dependencies={"access": Provide(_access), "live": Provide(_live)},
        exception_handlers=errors.exception_handlers(),
        template_config=template_config(jinja),
        openapi_config=None,
        logging_config=None,
    )
    security.guard(app, (), embedding_sites)
    return app


async def _access(state: State) -> Access:
    return state.access


async def _live(state: State) -> Live:
    return state.live


def serve(listener: socket.socket, directory: Path, heartbeat: float, embedding_sites: Sequence[str], url: str) -> None:
    """Serves that socket until the process is told to end."""
    app = staged_app(directory, heartbeat, tuple(embedding_sites), url)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listener])
