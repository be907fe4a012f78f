"""A log that grows before the reader's eyes: of what is there already nothing is painted again, and nothing differs."""

from __future__ import annotations

from random import Random

import pytest

from app.queue.models import Level
from app.web.logs.query import LogQuery
from app.web.painting import log_view
from app.web.pieces import Painter
from app.web.screens import Easel, View
from app.web.templating import environment
from app.web.views import ItemView, RunLogView, StepView
from tests.web.stage import Stage

SAID = ("a line", "::group::first", "inside", "::endgroup::", "::group::second", "\x1b[31mred\x1b[0m", "a page")
LEVELS = tuple(Level)


@pytest.mark.parametrize("window", [4, 250])
async def test_a_log_painted_as_it_grows_is_the_log_painted_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(log_view, "WINDOW", window)
    random = Random(window)
    manager_id = await stage.start(["one"])
    (step_id,) = await stage.plan(["a", "b"])
    workers = await stage.claim(step_id, 2)
    views: list[View] = [ItemView(workers[0], manager_id, "one")]
    for query in (LogQuery(), LogQuery(Level.DEBUG), LogQuery(Level.WARN), LogQuery(text="page")):
        views += [StepView(manager_id, "one", query), RunLogView(manager_id, query)]
    jinja = environment()
    easel = Easel(Painter(jinja))
    for _ in range(10):
        for _ in range(random.randrange(4)):
            messages = random.choices(SAID, (8, 1, 2, 1, 1, 2, 2), k=random.randrange(1, 3))
            worker_id, level = random.choice([None, *workers]), random.choice(LEVELS)
            await stage.log(step_id, messages, level, worker_id)
        for view in views:
            grown = await stage.access.read(lambda snapshot, view=view: view.paint(easel, snapshot).view.html)
            fresh = await stage.access.read(
                lambda snapshot, view=view: view.paint(Easel(Painter(jinja)), snapshot).view.html
            )
            assert grown == fresh, view.url
