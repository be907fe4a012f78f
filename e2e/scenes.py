"""A queue with something of everything in it, and every page that shows a part of it."""

from __future__ import annotations

import os

from tests.web.theatre import Theatre

LONG = "a/rather/long/path/" * 12 + "averylongnamewithoutanyplacetobreakit" * 4
FACES = (1, 2, 31, 33, 36, 92, 97, 44, "38;5;17", "38;5;230")
"""Of letters in a terminal: bold, faint, coloured, on a ground."""
EARLIER = 21
"""Runs that are over: with the others, more than one page of them."""
FAILED, COMPLETED, CANCELLED, WAITING = 7, 10, 13, 15
"""Runs. Number 1 is at work."""
ITEM, DONE_ITEM, TRIED_ITEM = 4, 12, 9
"""Work items: at work, completed, failed."""

WHOLE_DOCUMENT = 3
"""A document with something of everything."""

PATHS = (
    "/queue",
    "/queue?q=nothing-like-it&status=failed&definition=d&tag=t&from=2026-01-01T00:00&to=2026-01-02T00:00",
    "/queue?newest=5",
    "/jobs/1",
    f"/jobs/{FAILED}",
    f"/jobs/{COMPLETED}",
    f"/jobs/{CANCELLED}",
    f"/jobs/{WAITING}",
    "/jobs/1/steps/one",
    "/jobs/1/steps/two",
    f"/jobs/{ITEM}",
    f"/jobs/{DONE_ITEM}",
    f"/jobs/{TRIED_ITEM}",
    "/jobs",
    "/jobs?kind=worker&status=failed",
    "/jobs?kind=worker&status=skipped",
    "/jobs/1/log",
    "/jobs/1/steps/one?q=needle&line=100&level=debug#L100",
    "/jobs/1/steps/one?level=warn&wrap=off",
    "/jobs/1/steps/one?level=error&q=nothing-like-it",
    "/jobs/1/steps/one?after=20",
    f"/jobs/{ITEM}?q=needle",
    "/documents",
    "/documents?step_id=11",
    "/documents?q=needle&tag=long&tag=t3&source_type=page&from=2020-01-01",
    "/documents?q=nothing-like-it",
    "/documents/1",
    f"/documents/{WHOLE_DOCUMENT}",
    "/documents/999",
    "/jobs?kind=worker&failure=0",
    "/nowhere",
    "/jobs/999",
    "/queue?status=nonsense",
    "/definitions",
    "/definitions/trial",
    f"/jobs/{FAILED}/retries/new",
    f"/jobs/{CANCELLED}/retries/new",
    f"/jobs/{FAILED}/reruns/new",
    f"/jobs/{COMPLETED}/deletion/new",
    "/jobs/1/deletion/new",
    "/pauses",
    "/system",
    f"/jobs/{FAILED}/acknowledgement/new",
    "/bulk/preview?kind=worker&status=failed",
    "/jobs?open=true",
)
"""Every kind of page, in each of its states."""
KINDS = [PATHS[at] for at in (0, 1, 4, 9, 12, 14, 17, 22, 24, 27, 30, 34, 35, 40, 41)]
"""One of each kind."""

EVERYTHING = {
    "title": f"All of it {LONG}",
    "address": "https://example.org/a/page",
    "source_type": "page",
    "tags": ["long", *(f"t{number}" for number in range(40)), LONG],
    "metadata": {"crawler": {"depth": 2, "found": [LONG, "short"]}, "rules": {"category": "documentation"}},
    "body": f"""# A heading

A needle in *prose* with `code`, [a link](https://example.org) and ![a picture](https://example.org/x.png).

> Said by somebody.

1. first
2. second

| one | two |
|-----|-----|
| {LONG} | {LONG} |

```
{LONG}
```

{LONG}
""",
}

EVERYWHERE = os.environ.get("SCREENS") == "all"
"""`SCREENS=all`, as `make screens` sets it: every page in both themes and both widths, which takes minutes."""
SCREENS = [("light", 1440), ("dark", 360), *([("dark", 1440), ("light", 360)] if EVERYWHERE else [])]
LOOKED_AT = PATHS if EVERYWHERE else KINDS
"""What is looked at on each screen: every page, or one of each kind."""


def furnish(theatre: Theatre) -> None:
    play = theatre.play
    play("start", steps=["one", "two"], name=LONG, tags=["night"])
    (step_id,) = play("plan", items=[LONG, "short", "third"])
    play("claim", step_id=step_id, most=2)
    for hundred in range(6):
        play("log", step_id=step_id, messages=[f"line {hundred * 100 + n}" for n in range(1, 100)], worker_id=ITEM)
        play("log", step_id=step_id, messages=["a needle"], level="warn", worker_id=ITEM)
    play("log", step_id=step_id, messages=[LONG, "said by nobody"], level="error")
    play("log", step_id=step_id, messages=["fine print"], level="debug")
    coloured = [f"\x1b[{face}mface {face}\x1b[0m" for face in FACES]
    play("log", step_id=step_id, messages=["::group::Install", *coloured, "::endgroup::"])
    assert play("start", steps=["only"], name="Failed run") == FAILED
    (failed,) = play("plan", items=["bad"])
    play("claim", step_id=failed)
    play("fail", step_id=failed, error=LONG)
    assert play("start", steps=["only"], name="Completed run") == COMPLETED
    (completed,) = play("plan", items=["good"])
    play("claim", step_id=completed)
    play("save", step_id=completed, worker_id=DONE_ITEM, addresses=[LONG, "/etc/hosts"])
    play("write_documents", step_id=completed, documents=[EVERYTHING], worker_id=DONE_ITEM)
    play("complete", step_id=completed)
    assert play("start", steps=["only"], name="Cancelled run") == CANCELLED
    play("cancel", manager_id=CANCELLED)
    assert play("start", steps=["first", "second"], name="Waiting run") == WAITING
    assert theatre.client.post("/jobs", data={"definition": "trial", "parameter.folder": "here"}).status_code == 303
    for path, form in (("/pauses", {"definition": "trial"}), (f"/jobs/{WAITING}/pause", {}), ("/jobs/1/pause", {})):
        assert theatre.client.post(path, data=form).status_code == 303
    play("freeze", at="preview", kind="worker", status="failed")
    for number in range(EARLIER):
        play("cancel", manager_id=play("start", steps=["only"], name=f"Earlier run {number}"))
