"""The attempts of a work item, on its page and in the API."""

from __future__ import annotations

from tests.web.conftest import Pages

HTML = {"accept": "text/html"}
HOSTILE = "<script>alert(1)</script>"


def test_each_attempt_shows_its_error_its_traceback_and_the_last_lines_that_it_said(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a"])
    for message in ("before", HOSTILE):
        (worker_id,) = pages.play("claim", step_id=step_id)
        pages.play("log", step_id=step_id, messages=[message], worker_id=worker_id)
        pages.play("fail", step_id=step_id, error=f"no luck {HOSTILE}")
        pages.post(f"/api/jobs/{manager_id}/retries")
    (worker_id,) = pages.play("claim", step_id=step_id)
    answer = pages.get(f"/api/jobs/{worker_id}/attempts").json()["attempts"]
    assert [(each["number"], each["status"], each["error"]) for each in answer] == [
        (3, "running", None),
        (2, "failed", f"no luck {HOSTILE}"),
        (1, "failed", f"no luck {HOSTILE}"),
    ]
    assert [[line["message"] for line in each["lines"]][:1] for each in answer[1:]] == [[HOSTILE], ["before"]]
    assert answer[1]["traceback"] == "Traceback\n  boom"
    page = pages.get(f"/jobs/{worker_id}", headers=HTML).text
    assert HOSTILE not in page
    _, third, second, first = page.partition('class="item-data"')[0].split("attempt-head")
    assert "before" in first and "&lt;script&gt;" in second and ">before<" not in second
    assert "Its last lines" not in third, "it has said nothing yet"


def test_a_work_item_that_waits_says_when_it_is_tried_again_and_why(pages: Pages) -> None:
    pages.play("start", steps=["one"], attempts=3)
    (step_id,) = pages.play("plan", items=["a"])
    (worker_id,) = pages.play("claim", step_id=step_id)
    pages.play("fail", step_id=step_id, error="no luck")
    told = "retries after 2 s, attempt 2 of 3"
    job = pages.get(f"/api/jobs/{worker_id}").json()
    assert (job["reason"], job["error"]) == (told, "no luck")
    for url in (f"/jobs/{worker_id}", "/jobs?kind=worker"):
        page = pages.get(url, headers=HTML).text
        assert f"{told}; no luck" in page
        assert 'due <time datetime="' in page


def test_only_a_work_item_has_attempts(pages: Pages) -> None:
    manager_id = pages.play("start", steps=["one"])
    assert pages.get(f"/api/jobs/{manager_id}/attempts").status_code == 404
