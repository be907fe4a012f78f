"""Open failures on the page and in the API: acknowledged with a note, and opened again, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.web.conftest import Pages, drifts
from tests.web.stage import staged_app
from tests.web.test_control_pages import HTML, failed_run, sent, text

HOSTILE = '<b onclick="x">known</b>'


@pytest.fixture
def pages(tmp_path: Path, queue_url: str) -> Iterator[Pages]:
    with Pages(staged_app(tmp_path, url=queue_url), base_url="http://127.0.0.1") as client:
        client.follow_redirects = False
        yield client
    assert drifts(tmp_path, queue_url) == []


def open_counts(pages: Pages, address: str) -> dict[str, int]:
    """The open failures that a page names, by scope; each is the length of the list that it is a link to."""
    page = pages.get(address, headers=HTML).text
    found = {}
    for url, value, scope in re.findall(
        r'<a href="([^"]*)">[^<]*'
        r'<data class="count" value="(\d+)" data-scope="([^"]*)" data-kind="\w+" data-status="open">',
        page,
    ):
        listed = pages.get(unescape(url), headers=HTML).text
        assert re.findall(r'id="jobs"[^>]*data-total="(\d+)"', listed) == [value], url
        assert listed.count('class="job"') == int(value)
        found[scope] = int(value)
    return found


def test_every_number_of_open_failures_is_the_length_of_its_list(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    assert open_counts(pages, "/queue") == {"all": 3}
    assert open_counts(pages, f"/jobs/{manager_id}") == {f"manager:{manager_id}": 3}
    assert open_counts(pages, f"/jobs/{manager_id}/steps/one") == {f"step:{step_id}": 3}
    assert open_counts(pages, f"/jobs/{step_id}/acknowledgement/new") == {f"failures:{step_id}": 3}
    assert "3 open failures of step one of run 1" in text(pages.get("/jobs?manager_id=1&step=one&open=true"))
    first = pages.get("/api/jobs?open=true&limit=1").json()
    assert (first["total"], pages.get("/api/jobs/stats").json()["open_failures"]) == (3, 3)


def test_one_item_one_group_and_the_rest_are_acknowledged(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    (item, *_) = pages.get("/api/jobs?open=true").json()["jobs"]
    form = pages.get(f"/jobs/{item['id']}/acknowledgement/new", headers=HTML)
    assert "It is an open failure" in text(form)
    answer = sent(pages, form.text, note=HOSTILE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{item['id']}")
    page = pages.get(f"/jobs/{item['id']}", headers=HTML)
    assert "acknowledged by a person at the page" in text(page)
    assert HOSTILE not in page.text and HOSTILE in unescape(page.text)
    run = pages.get(f"/jobs/{manager_id}", headers=HTML)
    assert "1 of them open" in text(run)
    groups = re.findall(rf'href="(/jobs/{step_id}/acknowledgement/new\?failure[^"]*)"', run.text)
    for group in groups:
        assert sent(pages, pages.get(unescape(group), headers=HTML).text).status_code == 303
    assert open_counts(pages, "/queue") == {"all": 0}
    assert open_counts(pages, f"/jobs/{manager_id}") == {f"manager:{manager_id}": 0}
    run = pages.get(f"/jobs/{manager_id}", headers=HTML)
    assert "What people did" in text(run)
    assert f'href="/jobs/{manager_id}/acknowledgement/new">Reopen</a>' in run.text
    again = pages.get(unescape(groups[0]), headers=HTML)
    assert "acknowledged; none is open" in text(again)
    assert sent(pages, again.text).status_code == 303  # reopens
    assert pages.get(f"/api/jobs/{manager_id}").json()["open_failures"] in (1, 2)


def test_programs_acknowledge_once_and_take_it_back(pages: Pages) -> None:
    manager_id, step_id = failed_run(pages)
    groups = pages.get(f"/api/jobs/{manager_id}/tree").json()["failures"]
    assert [(group["open"], group["acknowledgement"]) for group in groups] == [(1, None), (2, None)]
    url = f"/api/jobs/{manager_id}/acknowledgement"
    one = pages.post(f"/api/jobs/{step_id}/acknowledgement", params={"pattern": groups[1]["pattern"]}, json={})
    assert (one.status_code, one.json()["failures"]) == (202, 2)
    rest = pages.post(url, json={"note": "known"}, headers={"x-stepglass-actor": "ann"})
    assert rest.json()["detail"] == f"1 failure of job {manager_id} is acknowledged"
    assert pages.post(url, json={}).json()["detail"].startswith(f"no failure of job {manager_id} is open")
    closed = pages.get(f"/api/jobs/{groups[0]['job_id']}").json()["acknowledgement"]
    assert (closed["who"], closed["note"]) == ("ann", "known")
    assert pages.delete(url).json()["failures"] == 3
    assert pages.delete(url).json()["failures"] == 0
    assert pages.post(url, json={"note": "x" * 2001}).status_code == 422
    assert pages.post("/api/jobs/999/acknowledgement", json={}).status_code == 404
