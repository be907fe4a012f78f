"""Definitions edited in the page: off until it is turned on, and never at the cost of what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.queue.writer import WriteFailed, Writer
from tests.hostile import CORPUS
from tests.web.test_definition_pages import ONE, Site, folder, serving, start, words

__all__ = ["folder"]

KNOWN = {
    *("nav", "ol", "li", "a", "div", "h1", "h2", "p", "bdi", "code", "form", "input", "section", "pre", "mark"),
    *("textarea", "button", "strong"),
}
"""What the page of the editor consists of."""


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with serving(folder, edit_definitions="on") as client:
        yield client


class Form(HTMLParser):
    """The form of the editor: where it goes, its hidden fields and the text, as a browser would send them back."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action, self.fields = "", {}
        self._text: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("class") == "editor":
            self.action = given["action"] or ""
        elif tag == "input" and self.action and given.get("type") == "hidden":
            self.fields.setdefault(given["name"] or "", given["value"] or "")
        elif tag == "textarea":
            self._text = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None:
            self.fields["text"] = "".join(self._text).removeprefix("\n")
            self._text = None


def form(answer: Any) -> Form:
    found = Form(answer.text)
    assert found.action and {"base", "text"} <= found.fields.keys()
    return found


def send(site: Site, form: Form, text: str, action: str = "save") -> Any:
    """Posts the form as a browser does: as parts, with line ends of its own."""
    fields = {**form.fields, "text": text.replace("\n", "\r\n"), "action": action}
    return site.post(form.action, files={name: (None, value) for name, value in fields.items()}, follow_redirects=False)


def test_until_it_is_turned_on_nothing_can_be_edited(folder: Path) -> None:
    with serving(folder) as site:
        assert "New definition" not in site.get("/definitions").text
        assert "/text" not in site.get("/definitions/one").text
        for path in ("/definition-editor", "/definitions/one/text"):
            answer = site.get(path)
            assert answer.status_code == 403
            assert "--edit-definitions" in answer.text
        typed = ONE + "# typed\n"
        for path in ("/definitions", "/definitions/one/text"):
            answer = site.post(path, files={"text": (None, typed), "base": (None, "")})
            assert answer.status_code == 403
            assert form(answer).fields["text"] == typed
            assert "--edit-definitions" in answer.text
        assert site.post("/definitions/one/deletion", data={"base": ""}).status_code == 403
    assert (folder / "one.toml").read_text() == ONE


def test_a_definition_is_written_checked_saved_and_run(site: Site, folder: Path) -> None:
    assert 'href="/definition-editor">New definition' in site.get("/definitions").text
    new = form(site.get("/definition-editor"))
    wrong = 'id = "fresh"\n\n[step.a]\ntype = "test_job_generater"\nworker_count = 2\n'
    answer = send(site, new, wrong)
    assert answer.status_code == 422
    problems = re.search(r'<section class="editor-problems".*?</section>', answer.text, re.DOTALL)
    assert problems
    assert words(problems[0]) == (
        'Not saved: 1 problem line 4 type = "test_job_generater" step.a.type '
        "'test_job_generater' is not a step type; did you mean 'test_job_generator'?"
    )
    assert '<mark id="line-4">4</mark>' in answer.text
    again = form(answer)
    assert again.fields["text"] == wrong
    right = wrong.replace("generater", "generator")
    answer = send(site, again, right, "check")
    assert answer.status_code == 200 and "valid fresh, 1 step; not saved yet" in words(answer.text)
    assert not (folder / "fresh.toml").exists()
    answer = send(site, form(answer), right)
    assert (answer.status_code, answer.headers["location"]) == (303, "/definitions/fresh")
    assert (folder / "fresh.toml").read_bytes() == right.encode()
    assert "saved through the page" in site.get("/definitions/fresh").text
    assert start(site, "fresh")


def test_a_saved_change_moves_the_revision_so_that_open_pages_hear_of_it(site: Site) -> None:
    before = site.get("/healthz").json()["revision"]
    send(site, form(site.get("/definitions/one/text")), ONE + "# more\n")
    assert site.get("/healthz").json()["revision"] > before


def test_a_conflict_shows_both_texts_and_loses_neither(site: Site, folder: Path) -> None:
    opened = form(site.get("/definitions/one/text"))
    assert opened.fields["text"] == ONE
    mine, theirs = ONE + "# <b>mine</b>\n", ONE + "# <i>theirs</i>\n"
    (folder / "one.toml").write_text(theirs)
    answer = send(site, opened, mine)
    assert answer.status_code == 409
    assert "says something else since this text was opened" in answer.text
    assert form(answer).fields["text"] == mine
    now = re.search(r'<pre [^>]*id="now"[^>]*>\n(.*?)</pre>', answer.text, re.DOTALL)
    assert now and unescape(now[1]) == theirs
    assert "<b>mine" not in answer.text and "<i>theirs" not in answer.text
    assert (folder / "one.toml").read_text() == theirs
    assert "saved through the page" not in site.get("/definitions/one").text
    assert "Save over what the file says now" in answer.text
    assert send(site, form(answer), mine).status_code == 303
    assert (folder / "one.toml").read_text() == mine


def test_a_file_that_is_gone_by_then_is_made_again_if_the_person_wants_that(site: Site, folder: Path) -> None:
    opened = form(site.get("/definitions/one/text"))
    (folder / "one.toml").unlink()
    answer = send(site, opened, ONE)
    assert answer.status_code == 409 and "is gone since this text was opened" in answer.text
    assert send(site, form(answer), ONE).status_code == 303
    assert (folder / "one.toml").read_text() == ONE


@pytest.mark.parametrize("trouble", ["disk", "database"])
def test_a_save_that_fails_gives_the_text_back(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    opened = form(site.get("/definitions/one/text"))
    with monkeypatch.context() as patch:
        if trouble == "disk":

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr("os.fsync", full)
        else:

            async def locked(*_: object) -> None:
                raise WriteFailed("is locked")

            patch.setattr(Writer, "__call__", locked)
        answer = send(site, opened, ONE + "# typed\n")
    assert answer.status_code == 503
    assert ("No space left on device" if trouble == "disk" else "is locked") in answer.text
    assert form(answer).fields["text"] == ONE + "# typed\n"
    assert (folder / "one.toml").read_text() == ONE
    assert send(site, form(answer), ONE + "# typed\n").status_code == 303


def test_a_running_definition_is_edited_and_its_run_keeps_the_old_text(site: Site) -> None:
    run = start(site, "one")
    send(site, form(site.get("/definitions/one/text")), ONE.replace("One at a time", "Two"))
    assert "Two" in site.get("/definitions/one").text
    kept = site.get(f"/jobs/{run}").text
    assert "One at a time" in kept and "Two" not in kept


def test_a_definition_is_deleted_and_its_runs_stay(site: Site, folder: Path) -> None:
    run = start(site, "one")
    opened = form(site.get("/definitions/one/text"))
    (folder / "one.toml").write_text(ONE + "# theirs\n")
    answer = site.post("/definitions/one/deletion", data={"base": opened.fields["base"]})
    assert answer.status_code == 409 and "it was not deleted" in answer.text
    opened = form(site.get("/definitions/one/text"))
    answer = site.post("/definitions/one/deletion", data=opened.fields, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/definitions")
    assert not (folder / "one.toml").exists()
    assert site.get("/definitions/one").status_code == 404
    assert site.get(f"/jobs/{run}").status_code == 200


def test_a_bundled_definition_is_edited_as_a_copy(site: Site, folder: Path) -> None:
    assert "Edit a copy" in site.get("/definitions/test_job_generator").text
    page = site.get("/definitions/test_job_generator/text")
    assert f"A copy is saved to {folder / 'test_job_generator.toml'}" in unescape(page.text)
    assert "Delete this definition" not in page.text
    opened = form(page)
    answer = send(site, opened, opened.fields["text"].replace("Test job generator", "Ours"))
    assert answer.status_code == 303
    assert (folder / "test_job_generator.toml").is_file()
    page = site.get("/definitions").text
    assert page.count('href="/definitions/test_job_generator"') == 1 and "Ours" in page


def test_what_the_page_may_not_write_is_told_when_the_editor_opens_and_refused_when_saved(folder: Path) -> None:
    command = 'id = "shell"\n[step.run]\ntype = "command"\nprogram = "true"\n'
    (folder / "shell.toml").write_text(command)
    with serving(folder, edit_definitions="on") as site:
        start(site, "shell")
        page = site.get("/definitions/shell/text")
        assert "'command' is not for text that came through the page" in unescape(page.text)
        assert send(site, form(page), command + "# x\n").status_code == 422
        assert send(site, form(site.get("/definition-editor")), command.replace("shell", "more")).status_code == 422
    assert not (folder / "more.toml").exists()
    with serving(folder, edit_definitions="on", edit_unsafe_steps="on") as site:
        new = form(site.get("/definition-editor"))
        assert send(site, new, command.replace("shell", "more")).status_code == 303
        run = start(site, "more")
        site.post(f"/jobs/{run}/cancellation")
    with serving(folder) as site:  # the setting is off again: what the page wrote does not run, not even by its path
        assert "not for text that came through the page" in unescape(site.get("/definitions/more").text)
        for definition in ("more", str(folder / "more.toml")):
            refused = site.post("/api/jobs", json={"definition": definition})
            assert refused.status_code == 422, refused.text
            assert "not for text that came through the page" in refused.json()["problems"]["step.run.type"]
        for as_now in ("false", "true"):
            refused = site.post(f"/api/jobs/{run}/reruns?as_now={as_now}")
            assert refused.status_code == 422, refused.text
            assert "not for text that came through the page" in refused.json()["problems"]["step.run.type"]
        (folder / "more.toml").write_text(command.replace("shell", "more").replace('"true"', '"false"'))
        assert "enabled" in words(site.get("/definitions/more").text)


def test_no_other_site_may_write(site: Site, folder: Path) -> None:
    fields = {"text": (None, ONE.replace('"one"', '"evil"')), "base": (None, "")}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        for path in ("/definitions", "/definitions/one/text", "/definitions/one/deletion"):
            assert site.post(path, files=fields, headers=headers).status_code == 403
    assert not (folder / "evil.toml").exists() and (folder / "one.toml").read_text() == ONE


def test_an_address_that_names_no_definition_is_not_found(site: Site, folder: Path) -> None:
    before = sorted(folder.iterdir())
    for path in ("..%2f..%2fetc%2fpasswd", "%2e%2e", ".", "one.toml", "nothing", "%00", "%0a"):
        assert site.get(f"/definitions/{path}/text").status_code in (400, 404), path
        answer = site.post(f"/definitions/{path}/text", files={"text": (None, ONE), "base": (None, "")})
        assert answer.status_code in (400, 404, 405, 422), path
    assert sorted(folder.iterdir()) == before


def test_whatever_is_typed_is_text_and_comes_back_as_it_was(site: Site) -> None:
    opened = form(site.get("/definition-editor"))
    for hostile in CORPUS:
        typed = f"# {hostile.text}".replace("\r", "\n").replace("\0", "").encode("utf-8", "replace").decode()
        answer = send(site, opened, typed)
        assert answer.status_code == 422, hostile.name
        assert form(answer).fields["text"] == typed, hostile.name
        assert answer.text.count("<textarea") == answer.text.count("</textarea>") == 1, hostile.name
        elements = set(re.findall(r"<([a-z0-9]+)", answer.text.split("<main", 1)[1]))
        assert elements <= KNOWN, hostile.name


def test_a_text_beyond_measure_is_refused_and_given_back(site: Site) -> None:
    typed = ONE.replace('"one"', '"large"') + "#" * 450_000
    answer = send(site, form(site.get("/definition-editor")), typed)
    assert answer.status_code == 422 and "the most that the page takes" in answer.text
    assert form(answer).fields["text"] == typed
