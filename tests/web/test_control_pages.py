"""Retries, cancellations, deletions, reruns and pauses on the page, as a browser without JavaScript sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Pages, drifts
from tests.web.stage import staged_app

HTML = {"accept": "text/html"}


@pytest.fixture
def pages(tmp_path: Path, queue_url: str) -> Iterator[Pages]:
    """Whatever a test does, the queue is sound in the end."""
    with Pages(staged_app(tmp_path, url=queue_url), base_url="http://127.0.0.1") as client:
        client.follow_redirects = False
        yield client
    assert drifts(tmp_path, queue_url) == []


def text(answer: Any) -> str:
    """What a reader sees, without the mark-up."""
    assert answer.status_code < 500, answer.text
    return " ".join(unescape(re.sub(r"<[^>]*>", "", answer.text)).split())


def failed_run(pages: Pages) -> tuple[int, int]:
    """A run of three steps; of the four work items of its first one two fail alike and one otherwise."""
    manager_id = pages.play("start", steps=["one", "two", "three"])
    (step_id,) = pages.play("plan", items=["a", "b", "c", "d"])
    pages.play("claim", step_id=step_id, most=4)
    pages.play("complete", step_id=step_id)
    pages.play("fail", step_id=step_id, most=2, error="boom 1")
    pages.play("fail", step_id=step_id, error="<b>other</b>")
    return manager_id, step_id


def all_failed(pages: Pages) -> tuple[int, int]:
    """A run whose first step failed, so that the others were skipped."""
    manager_id = pages.play("start", steps=["one", "two", "three"])
    (step_id,) = pages.play("plan", items=["a", "b"])
    pages.play("claim", step_id=step_id, most=2)
    pages.play("fail", step_id=step_id, most=2)
    return manager_id, step_id


def sent(pages: Pages, page: str, **filled_in: str) -> Any:
    """Sends the first form of a page that posts to the address of that page, with its hidden fields."""
    form = re.search(r'<form method="post" action="([^"]*)">(.*?)</form>', page.split('id="content"')[1], re.S)
    assert form, page
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[2]))
    return pages.post(
        unescape(form[1]), data={**{name: unescape(value) for name, value in fields.items()}, **filled_in}, headers=HTML
    )


@pytest.mark.parametrize("query", ["", "?cancelled=true"])
def test_programs_are_told_what_the_previews_on_the_page_say(pages: Pages, query: str) -> None:
    cancelled = pages.play("start", steps=["one"])
    pages.play("plan", items=["a", "b"])
    pages.post(f"/jobs/{cancelled}/cancellation")
    of_all, _ = all_failed(pages)
    of_some, step_id = failed_run(pages)
    items = [job["id"] for job in pages.get("/api/jobs?kind=worker").json()["jobs"]]
    for job_id in (of_some, step_id, of_all, cancelled, *items):
        told = pages.get(f"/api/jobs/{job_id}/retries/preview{query}").json()
        assert told["detail"] in text(pages.get(f"/jobs/{job_id}/retries/new{query}", headers=HTML))
        done = pages.post(f"/api/jobs/{job_id}/retries{query}")
        assert done.status_code == (202 if told["items"] else 409), done.text
        if told["items"]:
            assert (done.json()["items"], done.json()["steps"]) == (told["items"], told["steps"])
    refused = pages.get(f"/api/jobs/{of_all}/deletion/preview")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        pages.delete(f"/api/jobs/{of_all}").json()["detail"],
    )
    pages.post(f"/api/jobs/{of_all}/cancellation")
    told = pages.get(f"/api/jobs/{of_all}/deletion/preview").json()
    assert told["detail"] in text(pages.get(f"/jobs/{of_all}/deletion/new", headers=HTML))
    assert told["items"] == 2


def test_a_retry_is_previewed_exactly_then_done(pages: Pages) -> None:
    manager_id, _ = all_failed(pages)
    run = pages.get(f"/jobs/{manager_id}", headers=HTML)
    assert f'href="/jobs/{manager_id}/retries/new"' in run.text
    preview = pages.get(f"/jobs/{manager_id}/retries/new", headers=HTML)
    said = text(preview)
    assert "2 of 2 work items will run again; 0 results are kept; steps 1, 2 and 3 will be evaluated again" in said
    assert pages.get(f"/api/jobs/{manager_id}").json()["status"] == "failed"  # looking changes nothing
    answer = sent(pages, preview.text)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{manager_id}")
    after = text(pages.get(f"/jobs/{manager_id}", headers=HTML))
    assert "a person at the page retried the run: 2 work items run again; evaluated again: one, two, three" in after
    again = sent(pages, preview.text)  # a double click: answered as the first one was
    assert (again.status_code, again.headers["location"]) == (303, f"/jobs/{manager_id}")
    assert pages.get(f"/jobs/{manager_id}", headers=HTML).text.count("retried the run") == 1
    other = pages.post(f"/jobs/{manager_id}/retries", headers=HTML)
    assert other.status_code == 409
    assert "nothing of job" in text(other)


def test_one_item_or_one_failure_group_is_retried_alone(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    run = pages.get(f"/jobs/{manager_id}", headers=HTML).text
    groups = [unescape(each) for each in re.findall(rf'href="(/jobs/{step_id}/retries/new\?failure[^"]*)"', run)]
    assert len(groups) == 2
    previews = [text(pages.get(group, headers=HTML)) for group in groups]
    assert [re.findall(r"(\d) of 4 work items?", each)[0] for each in previews] == ["1", "2"]
    assert all("1 result is kept" in each for each in previews)
    sent(pages, pages.get(groups[1], headers=HTML).text)
    counts = pages.get(f"/api/jobs/{step_id}").json()["counts"]
    assert (counts["failed"], counts["pending"], counts["completed"]) == (1, 2, 1)
    (left,) = pages.get("/api/jobs?kind=worker&status=failed").json()["jobs"]
    item = pages.get(f"/jobs/{left['id']}", headers=HTML).text
    assert f'href="/jobs/{left["id"]}/retries/new"' in item
    preview = pages.get(f"/jobs/{left['id']}/retries/new", headers=HTML)
    assert "1 of 4 work items will run again" in text(preview)
    assert sent(pages, preview.text).headers["location"] == f"/jobs/{left['id']}"


def test_numbers_that_changed_since_the_preview_are_told(pages: Pages) -> None:
    manager_id, _ = failed_run(pages)
    preview = pages.get(f"/jobs/{manager_id}/retries/new", headers=HTML)
    assert "3 of 4 work items" in text(preview)
    (first, *_) = pages.get("/api/jobs?kind=worker&status=failed").json()["jobs"]
    pages.post(f"/api/jobs/{first['id']}/retries")
    assert sent(pages, preview.text).status_code == 303
    after = text(pages.get(f"/jobs/{manager_id}", headers=HTML))
    assert "retried the run: 2 work items run again" in after
    assert "(the preview, a moment before, said 3)" in after
    assert "the API retried work item" in after


def test_what_a_person_cancelled_is_retried_only_if_asked_for(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a", "b"])
    pages.post(f"/jobs/{manager_id}/cancellation")
    nothing = pages.get(f"/jobs/{manager_id}/retries/new", headers=HTML)
    assert "there is nothing to run again" in text(nothing)
    assert "Include it: 2 work items in all" in text(nothing)
    with_cancelled = pages.get(f"/jobs/{manager_id}/retries/new?cancelled=true", headers=HTML)
    assert sent(pages, with_cancelled.text).status_code == 303
    assert pages.get(f"/api/jobs/{step_id}").json()["counts"]["pending"] == 2


def offers(pages: Pages, manager_id: int) -> list[str]:
    """Whether the run, its steps and its work items offer a retry: exactly those of which something can be retried,
    and the button leads to a preview that has it."""
    run = pages.get(f"/api/jobs/{manager_id}/tree").json()
    items = pages.get(f"/api/jobs?kind=worker&manager_id={manager_id}").json()["jobs"]
    shown = {manager_id: f"/jobs/{manager_id}"}
    shown |= {each["id"]: f"/jobs/{manager_id}/steps/{each['name']}" for each in run["steps"]}
    shown |= {job_id: f"/jobs/{job_id}" for job_id in sorted(each["id"] for each in items)}
    offered = []
    for job_id, url in shown.items():
        link = re.search(rf'href="(/jobs/{job_id}/retries/new[^"]*)">Retry<', pages.get(url, headers=HTML).text)
        preview = pages.get(unescape(link[1]) if link else f"/jobs/{job_id}/retries/new?cancelled=true", headers=HTML)
        assert ("there is nothing to run again" in text(preview)) is (link is None), (url, text(preview))
        offered += [url.rpartition("/")[2] if "steps" in url else str(job_id)] if link else []
    return offered


def test_a_retry_is_offered_exactly_where_there_is_something_to_retry(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one", "two"])
    assert offers(pages, manager_id) == []
    (one,) = pages.play("plan", items=["a", "b", "c"])
    _, second, third = pages.play("claim", step_id=one, most=3)
    assert offers(pages, manager_id) == []
    pages.play("complete", step_id=one)
    assert offers(pages, manager_id) == []
    pages.post(f"/jobs/{second}/cancellation")
    assert offers(pages, manager_id) == [str(manager_id), "one", str(second)]
    pages.play("fail", step_id=one, most=2)
    assert offers(pages, manager_id) == [str(manager_id), "one", str(second), str(third)]
    pages.post(f"/api/jobs/{third}/retries")
    assert offers(pages, manager_id) == [str(manager_id), "one", str(second)]
    pages.post(f"/jobs/{manager_id}/cancellation")
    assert offers(pages, manager_id) == [str(manager_id), "one", str(second), str(third)]
    done = pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a"])
    pages.play("claim", step_id=step_id)
    pages.play("complete", step_id=step_id)
    assert offers(pages, done) == []
    failed, _ = all_failed(pages)
    assert len(offers(pages, failed)) == 4, "the steps that were skipped have nothing of their own"


def test_a_name_that_a_proxy_gives_is_recorded_as_text(pages: Pages) -> None:
    manager_id, _ = all_failed(pages)
    name = "Zo%C3%AB%20%3Cscript%3E"
    pages.post(f"/jobs/{manager_id}/retries", headers={"x-stepglass-actor": name})
    page = pages.get(f"/jobs/{manager_id}", headers=HTML)
    assert "Zoë &lt;script&gt;</bdi>" in page.text
    assert "retried by Zoë <script>: 2 work items run again" in text(page)


def test_a_work_item_and_a_step_are_cancelled_alone(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one", "two"])
    (step_id,) = pages.play("plan", items=["a", "b", "c"])
    (item_id,) = pages.play("claim", step_id=step_id)
    assert "Cancel work item" in pages.get(f"/jobs/{item_id}", headers=HTML).text
    answer = pages.post(f"/jobs/{item_id}/cancellation")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{item_id}")
    page = text(pages.get(f"/jobs/{item_id}", headers=HTML))
    assert "cancelled by a person at the page" in page
    pages.play("complete", step_id=step_id)  # comes too late
    counts = pages.get(f"/api/jobs/{step_id}").json()["counts"]
    assert (counts["cancelled"], counts["pending"]) == (1, 2)
    assert pages.post(f"/jobs/{item_id}/cancellation").status_code == 303  # and changes nothing
    pages.post(f"/jobs/{step_id}/cancellation")
    tree = pages.get(f"/api/jobs/{manager_id}/tree").json()
    assert [step["status"] for step in tree["steps"]] == ["cancelled", "skipped"]
    assert tree["job"]["status"] == "cancelled"
    after = text(pages.get(f"/jobs/{manager_id}", headers=HTML))
    assert "a person at the page cancelled step one: 2 work items never start, 0 at work told to stop" in after
    assert after.count("cancelled work item a") == 1
    again = pages.post(f"/api/jobs/{step_id}/cancellation")
    assert (again.status_code, again.json()["detail"]) == (202, f"job {step_id} was cancelled already")


def test_a_run_is_deleted_after_its_preview_and_a_running_one_is_not(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    refused = pages.get(f"/jobs/{manager_id}/deletion/new", headers=HTML)
    assert refused.status_code == 409
    assert "Cancel it first, then delete it" in text(refused)
    assert pages.post(f"/jobs/{manager_id}/deletion", headers=HTML).status_code == 409
    sent(pages, refused.text)  # cancels it
    preview = pages.get(f"/jobs/{manager_id}/deletion/new", headers=HTML)
    lines = pages.get(f"/api/jobs/{manager_id}/logs").json()["total"]
    assert f"4 work items and {lines} log lines will be deleted with the run" in text(preview)
    assert f'href="/jobs/{manager_id}/deletion/new"' in pages.get(f"/jobs/{manager_id}", headers=HTML).text
    for _ in range(2):
        answer = sent(pages, preview.text)
        assert (answer.status_code, answer.headers["location"]) == (303, "/queue")
    assert pages.get(f"/jobs/{manager_id}", headers=HTML).status_code == 404
    assert pages.get(f"/jobs/{step_id}/deletion/new", headers=HTML).status_code == 404


def test_a_whole_run_is_run_again_once_and_each_links_to_the_other(pages: Pages) -> None:
    manager_id, _ = all_failed(pages)
    form = pages.get(f"/jobs/{manager_id}/reruns/new", headers=HTML)
    assert "the beginning: all 3 steps" in text(form)
    answers = [sent(pages, form.text) for _ in range(2)]
    (url,) = {answer.headers["location"] for answer in answers}
    (again,) = [run for run in pages.get("/api/jobs?kind=manager").json()["jobs"] if run["id"] != manager_id]
    assert url == f"/jobs/{again['id']}"
    assert again["counts"]["total"] == 0
    assert pages.get(f"/api{url}/logs").json()["total"] == 0
    new, old = pages.get(url, headers=HTML), pages.get(f"/jobs/{manager_id}", headers=HTML)
    assert f"Rerun of run {manager_id}." in text(new)
    assert f'href="/jobs/{manager_id}">run {manager_id}</a>' in new.text
    assert f"Run again as run {again['id']}." in text(old)
    assert f"a person at the page ran it again, as run {again['id']}" in text(old)
    assert f"started it as a rerun of run {manager_id}" in text(new)
    pages.play("cancel", manager_id=again["id"])
    pages.request("DELETE", f"/api/jobs/{manager_id}")
    assert f"Rerun of run {manager_id}, which was deleted." in text(pages.get(url, headers=HTML))


def test_from_a_step_on_the_steps_before_are_taken_and_the_rest_runs(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one", "two", "three"])
    for _ in range(3):
        (step_id,) = pages.play("plan", items=["a"])
        pages.play("claim", step_id=step_id)
        pages.play("complete", step_id=step_id)
    step = pages.get(f"/jobs/{manager_id}/steps/two", headers=HTML).text
    assert f'href="/jobs/{manager_id}/reruns/new?from=two"' in step
    made = pages.post(f"/api/jobs/{manager_id}/reruns?from_step=two&key=mine").json()
    assert made["taken"] == ["one"]
    assert pages.post(f"/api/jobs/{manager_id}/reruns?from_step=two&key=mine").json()["job_id"] == made["job_id"]
    tree = pages.get(f"/api/jobs/{made['job_id']}/tree").json()
    taken, waits, _ = tree["steps"]
    assert (taken["status"], taken["reason"]) == ("skipped", f"taken from run {manager_id}")
    assert (waits["status"], waits["reason"]) == ("pending", "waiting for a free slot")
    (two,) = pages.play("plan", items=["a"])
    pages.play("claim", step_id=two)
    pages.play("fail", step_id=two)
    retried = pages.post(f"/api/jobs/{made['job_id']}/retries").json()
    assert retried["steps"] == ["two", "three"]  # and not the one that was taken
    for step_id in (two, two + 1):
        pages.play("plan", items=["a"])
        pages.play("claim", step_id=step_id)
        pages.play("complete", step_id=step_id)
    run = pages.get(f"/api/jobs/{made['job_id']}").json()
    assert (run["status"], run["reason"]) == ("completed", f"1 taken from run {manager_id} of 3 steps")


def test_what_cannot_be_run_again_is_refused_with_the_reason(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    early = pages.post(f"/api/jobs/{manager_id}/reruns?from_step=three")
    assert early.status_code == 409
    assert f"step two of run {manager_id} is pending, so its results cannot be taken yet" in early.json()["detail"]
    unknown = pages.post(f"/api/jobs/{manager_id}/reruns?from_step=nine")
    assert (unknown.status_code, list(unknown.json()["problems"])) == (422, ["from"])
    assert pages.post(f"/api/jobs/{step_id}/reruns").status_code == 409
    gone = pages.post(f"/jobs/{manager_id}/reruns", data={"text": "now"}, headers=HTML)
    assert gone.status_code == 404  # its definition is not there any more
    trial = pages.post("/api/jobs", json={"definition": "trial", "parameters": {"folder": "here"}}).json()["job_id"]
    assert pages.post(f"/api/jobs/{trial}/reruns").status_code == 409  # it allows one run at a time
    pages.play("cancel", manager_id=trial)
    made = pages.post(f"/api/jobs/{trial}/reruns?as_now=true").json()["job_id"]
    assert pages.get(f"/api/jobs/{made}/tree").json()["parameters"] == {"folder": "here"}


def test_a_run_that_is_paused_begins_nothing_and_says_by_whom(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one", "two"])
    (step_id,) = pages.play("plan", items=["a", "b"])
    (at_work,) = pages.play("claim", step_id=step_id)
    for _ in range(2):
        assert pages.post(f"/jobs/{manager_id}/pause").headers["location"] == f"/jobs/{manager_id}"
    assert pages.play("claim", step_id=step_id) == []
    pages.play("complete", step_id=step_id)  # what runs finishes
    assert pages.get(f"/api/jobs/{at_work}").json()["status"] == "completed"
    for path in (f"/jobs/{manager_id}", "/queue"):
        assert f"paused: run {manager_id} was paused by a person at the page" in text(pages.get(path, headers=HTML))
    after = text(pages.get(f"/jobs/{manager_id}", headers=HTML))
    assert after.count("a person at the page paused the run") == 1
    pages.post(f"/jobs/{manager_id}/resumption")
    assert len(pages.play("claim", step_id=step_id)) == 1
    assert "paused:" not in text(pages.get(f"/jobs/{manager_id}", headers=HTML))


def test_the_queue_and_a_definition_are_paused_on_a_page_of_their_own(pages: Pages) -> None:
    assert 'href="/pauses"' in pages.get("/queue", headers=HTML).text
    pages.post("/pauses", data={"definition": "trial"})
    assert "paused: definition trial was paused by" in text(pages.get("/definitions", headers=HTML))
    trial = pages.post("/api/jobs", json={"definition": "trial", "parameters": {"folder": "here"}}).json()["job_id"]
    assert pages.play("plan", items=["a"]) == []
    other = pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a"])
    assert "definition trial was paused by" in text(pages.get(f"/jobs/{trial}", headers=HTML))
    assert "paused:" not in text(pages.get(f"/jobs/{other}", headers=HTML))
    pages.post("/pauses")
    assert pages.play("claim", step_id=step_id) == []
    assert "Paused: definition trial by a person at the page" in text(pages.get("/queue", headers=HTML))
    page = pages.get("/pauses", headers=HTML)
    assert text(page).count("paused by a person at the page") == 2
    assert [each["what"] for each in pages.get("/api/pauses").json()["pauses"]] == ["definition trial", "the queue"]
    for _ in range(2):
        sent(pages, page.text)  # resumes the queue
    pages.post("/pauses/resumption", data={"what": "definition trial"})
    assert pages.get("/api/pauses").json()["total"] == 0
    assert len(pages.play("claim", step_id=step_id)) == len(pages.play("plan", items=["a"])) == 1
    assert pages.post("/pauses", data={"definition": "nobody's"}, headers=HTML).status_code == 404


def test_programs_pause_and_resume_once_however_often_they_ask(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one"])
    for url in ("/api/queue/pause", "/api/definitions/trial/pause", f"/api/jobs/{manager_id}/pause"):
        said = [pages.request(method, url).json() for method in ("POST", "POST", "DELETE", "DELETE")]
        assert [each["paused"] for each in said] == [True, True, False, False]
        assert "already" in said[1]["detail"]
        assert "was not paused" in said[3]["detail"]
    pages.post(f"/api/jobs/{manager_id}/pause")
    pages.play("cancel", manager_id=manager_id)
    assert pages.get("/api/pauses").json()["total"] == 0  # with the end of the run
    assert pages.post(f"/api/jobs/{manager_id}/pause").status_code == 409
    assert pages.post("/api/definitions/nobody/pause").status_code == 404
