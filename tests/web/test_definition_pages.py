"""The pages of definitions: which there are, how they stand, how one is started, switched off, and kept from a second
start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient

from app.cli import cli
from app.main import create_app
from app.settings import Settings
from tests.hostile import CORPUS
from tests.stepglass import definitions, stepglass

WRONG = 'id = "wrong"\n[step.one]\ntype = "no_such_type"\n'
DISABLED = 'id = "disabled"\nenabled = false\n[step.one]\ntype = "test_job_generator"\n'
MOODS = 'id = "moods"\n[step.look]\ntype = "agent"\nagent_type = "sentiment"\n'
ANYBODY = """
id = "anybody"
[parameters.endpoint]
default = ""
[step.look]
type = "agent"
agent_type = "sentiment"
endpoint = "{endpoint}"
model = "m"
"""
ONE = 'id = "one"\nname = "One at a time"\n[step.one]\ntype = "test_job_generator"\n'
PAGE = {"Accept": "text/html"}

Site = TestClient[Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = definitions(tmp_path / "own")
    (own / "wrong.toml").write_text(WRONG)
    (own / "disabled.toml").write_text(DISABLED)
    (own / "one.toml").write_text(ONE)
    (own / "moods.toml").write_text(MOODS)
    (own / "anybody.toml").write_text(ANYBODY)
    return own


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Site]:
    """A server that runs nothing, so that what is started stays in progress; its data is beside the folder."""
    app = create_app(Settings(data=folder.parent / "data", definitions=(folder,), slots=0, **settings))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.headers.update(PAGE)
        yield client


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with serving(folder) as client:
        yield client


def row(site: Site, definition: str) -> str:
    """What the list says of a definition, as text."""
    html = site.get("/definitions").text
    found = re.search(rf'<li [^>]*data-definition="{definition}">(.*?)</li>', html, re.DOTALL)
    assert found
    return words(found[1])


def words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).split())


def start(site: Site, definition: str, **parameters: str) -> int:
    answer = site.post("/jobs", data={"definition": definition, **parameters}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return int(answer.headers["location"].rpartition("/")[2])


def switch(site: Site, definition: str, enabled: str) -> None:
    answer = site.post(f"/definitions/{definition}/switch", data={"enabled": enabled}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/definitions/{definition}")


def test_all_definitions_are_listed_and_a_wrong_one_says_what_is_wrong(site: Site, folder: Path) -> None:
    page = site.get("/definitions").text
    for each in ("quick", "failing", "endless", "codebase_classify", "test_job_generator", "wrong", "disabled"):
        assert f'href="/definitions/{each}"' in page
    assert f"{folder / 'wrong.toml'}:3: step.one.type: 'no_such_type' is not a step type" in row(site, "wrong")
    assert "not valid never run" in row(site, "wrong")
    assert row(site, "disabled") == "disabled disabled disabled never run"
    assert row(site, "one") == "One at a time one enabled never run"
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert 'hx-sse:connect="/definitions/stream?since=' in page


def test_the_list_says_what_runs_and_how_the_last_run_ended(site: Site) -> None:
    first = start(site, "one")
    assert f"running #{first} in progress" in row(site, "one")
    site.post(f"/jobs/{first}/cancellation")
    assert f"cancelled #{first}" in row(site, "one")
    page = site.get("/definitions").text
    assert f'<span class="badge cancelled">cancelled</span> <a href="/jobs/{first}">#{first}</a>' in page
    second = start(site, "one")
    assert f"running #{second} in progress" in row(site, "one") and f"cancelled #{first}" in row(site, "one")
    site.delete(f"/api/jobs/{first}")
    assert f"#{first} " not in row(site, "one") + " "


def test_a_definition_shows_its_text_and_a_form_made_from_its_parameters(site: Site, folder: Path) -> None:
    page = site.get("/definitions/codebase_classify").text
    assert 'name="parameter.folder"' in page
    assert 'name="definition" value="codebase_classify"' in page
    assert "[step.code_map]" in page
    types = "".join(f'[parameters.{each}]\ntype = "{each}"\n' for each in ("boolean", "integer", "number"))
    (folder / "typed.toml").write_text(ONE.replace('"one"', '"typed"') + types)
    page = site.get("/definitions/typed").text
    assert re.search(r'<select id="[^"]*" name="parameter.boolean" required>\s*<option value=""></option>', page)
    assert 'name="parameter.integer" value="" inputmode="numeric"' in page
    assert 'name="parameter.number" value="" inputmode="decimal"' in page
    assert "refresh" not in page.split("<body")[0], "what is typed into the form would be lost"


def test_a_definition_shows_its_latest_runs(site: Site) -> None:
    assert '<section id="latest-runs" class="latest-runs" aria-labelledby="runs-heading" hidden>' in (
        site.get("/definitions/quick").text
    )
    first, second = start(site, "quick"), start(site, "quick")
    page = words(site.get("/definitions/quick").text)
    assert page.index(f"running #{second}") < page.rindex(f"#{first}")


@pytest.mark.parametrize(("name", "said"), [("wrong", "no_such_type"), ("disabled", "<code>enabled = true</code>")])
def test_one_that_cannot_run_says_why_and_has_no_form(site: Site, name: str, said: str) -> None:
    page = site.get(f"/definitions/{name}").text
    assert said in page
    assert 'action="/jobs"' not in page


def test_the_problem_stands_at_its_line_of_the_text(site: Site) -> None:
    page = site.get("/definitions/wrong").text
    found = re.search(r'<li class="wrong" id="line-3"><code>(.*?)</code><p class="problem">(.*?)</p>', page)
    assert found and words(found[1]) == 'type = "no_such_type"'
    assert words(found[2]).startswith("step.one.type: 'no_such_type' is not a step type")


@pytest.mark.parametrize("path", ["", "/switch"])
def test_an_unknown_one_is_not_found(site: Site, path: str) -> None:
    answer = site.post(f"/definitions/nothing{path}") if path else site.get("/definitions/nothing")
    assert answer.status_code == 404
    assert "The queue shows all there is" in answer.text


def test_one_that_lacks_something_here_says_what_and_its_run_is_disabled(site: Site) -> None:
    sentence = "sentiment: no language model is configured: set STEPGLASS_MODEL_ENDPOINT and STEPGLASS_MODEL where"
    page = site.get("/definitions/moods").text
    assert sentence in page and re.search(r"<button[^>]* disabled[ >]", page)
    assert sentence in site.get("/definitions").text
    (told,) = (each for each in site.get("/api/definitions").json()["definitions"] if each["id"] == "moods")
    assert told["valid"] and sentence in told["obstacle"]
    open_to_a_parameter = site.get("/definitions/anybody").text
    assert "disabled" not in open_to_a_parameter.partition("<form")[2].partition("</form>")[0]


@pytest.mark.parametrize("definition", ["moods", "anybody"])
def test_and_it_is_refused_before_anything_starts(site: Site, definition: str) -> None:
    before = site.get("/api/jobs?kind=manager").json()["total"]
    refused = site.post("/jobs", data={"definition": definition})
    assert refused.status_code == 422 and "no language model is configured" in refused.text
    refused = site.post("/api/jobs", json={"definition": definition})
    assert refused.status_code == 422
    assert refused.json()["problems"]["step.look"].startswith("sentiment: no language model is configured")
    assert site.get("/api/jobs?kind=manager").json()["total"] == before


def test_a_rerun_is_refused_as_a_start_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless what cannot run here is taken as it is. A page, the API and the command line say the same."""
    sentence = "sentiment: no language model is configured"
    (folder / "moods.toml").write_text(f'{MOODS}[step.after]\ntype = "test_job_generator"\nalways_run = true\n')
    monkeypatch.setenv("STEPGLASS_MODEL_ENDPOINT", "https://model.example/v1")
    monkeypatch.setenv("STEPGLASS_MODEL", "m")
    with serving(folder) as site:
        job_id = site.post("/api/jobs", json={"definition": "moods"}).json()["job_id"]
        site.post(f"/api/jobs/{job_id}/cancellation")
        form = site.get(f"/jobs/{job_id}/reruns/new").text
        assert "cannot be run here" not in form and " disabled" not in form
        monkeypatch.delenv("STEPGLASS_MODEL_ENDPOINT")
        form = site.get(f"/jobs/{job_id}/reruns/new").text
        assert form.count(f"step.look: {sentence}") == 2, "as it was, and as it is now"
        assert re.search(r"<button[^>]* disabled>Run again", form)
        for text in ("then", "now"):
            refused = site.post(f"/jobs/{job_id}/reruns", data={"text": text})
            assert refused.status_code == 422 and sentence in refused.text
            refused = site.post(f"/api/jobs/{job_id}/reruns?as_now={str(text == 'now').lower()}")
            assert refused.status_code == 422 and refused.json()["problems"]["step.look"].startswith(sentence)
        (folder / "moods.toml").write_text(ONE.replace('"one"', '"moods"', 1))
        form = site.get(f"/jobs/{job_id}/reruns/new").text
        assert re.search(r'<option value="now" selected>', form) and "As it is now" not in form
        assert re.search(r"<button[^>]*>Run again", form) and not re.search(r"<button[^>]* disabled>", form)
        assert 'value="then" disabled' not in site.get(f"/jobs/{job_id}/reruns/new?from=after").text
        made = site.post(f"/api/jobs/{job_id}/reruns?from_step=after").json()
        assert made["taken"] == ["look"]
        site.post(f"/api/jobs/{made['job_id']}/cancellation")
    data = ("--data", str(folder.parent / "data"), "--definitions", str(folder))
    result = CliRunner().invoke(cli, ["rerun", str(job_id), *data])
    assert result.exit_code == 2 and f"step.look: {sentence}" in result.output


# --- Enabled and disabled --------------------------------------------------------------------------------------------


def test_what_a_person_switches_off_is_refused_everywhere_until_it_is_switched_on(site: Site, folder: Path) -> None:
    switch(site, "one", "no")
    page = site.get("/definitions/one").text
    assert "a person has switched it off" in page and 'action="/jobs"' not in page
    assert row(site, "one") == "One at a time one disabled never run"
    on_page = site.post("/jobs", data={"definition": "one"})
    assert on_page.status_code == 409
    assert "one is disabled; a person has switched it off; enable it on its page" in words(on_page.text)
    assert 'href="/definitions/one">Go to the definition' in on_page.text
    for definition in ("one", str(folder / "one.toml")):
        refused = site.post("/api/jobs", json={"definition": definition})
        assert (refused.status_code, refused.json()["error"]) == (409, "disabled")
        assert refused.json()["url"] == "/definitions/one"
    assert site.get("/api/definitions/one").json()["definition"]["enabled"] is False
    switch(site, "one", "yes")
    start(site, "one")


def test_the_switch_holds_across_a_restart_and_whatever_becomes_of_the_file(folder: Path) -> None:
    with serving(folder) as site:
        switch(site, "one", "no")
    with serving(folder) as site:
        assert "disabled" in row(site, "one")
        (folder / "one.toml").rename(folder / "moved.toml")
        (folder / "moved.toml").write_text("enabled = true\n" + ONE)
        assert "disabled" in row(site, "one")
        assert site.post("/api/jobs", json={"definition": "one"}).status_code == 409


def test_the_switch_does_not_overrule_the_file(site: Site, folder: Path) -> None:
    switch(site, "disabled", "yes")
    refused = site.post("/api/jobs", json={"definition": "disabled"})
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"disabled is disabled; set `enabled = true` in {folder / 'disabled.toml'}"
    by_path = site.post("/api/jobs", json={"definition": str(folder / "disabled.toml")})
    assert by_path.status_code == 409


@pytest.mark.parametrize("by", ["its file", "a person"])
def test_a_disabled_one_is_not_run_again_either(site: Site, folder: Path, by: str) -> None:
    first = start(site, "one")
    site.post(f"/jobs/{first}/cancellation")
    if by == "a person":
        switch(site, "one", "no")
    else:
        (folder / "one.toml").write_text("enabled = false\n" + ONE)
    for as_now in ("false", "true"):
        refused = site.post(f"/api/jobs/{first}/reruns?as_now={as_now}")
        assert (refused.status_code, refused.json()["error"]) == (409, "disabled")
        assert refused.json()["url"] == "/definitions/one"


def test_programs_switch_too(site: Site) -> None:
    answer = site.post("/api/definitions/one/switch", json={"enabled": False})
    assert (answer.status_code, answer.json()["definition"]["enabled"]) == (200, False)
    assert (
        site.post("/api/definitions/one/switch", json={"enabled": False}).json()["revision"]
        == (answer.json()["revision"])
    ), "what is so already changes nothing"
    assert site.post("/api/definitions/one/switch", json={"enabled": True}).json()["definition"]["enabled"] is True
    assert site.post("/api/definitions/nothing/switch", json={"enabled": True}).status_code == 404
    assert site.post("/api/definitions/one/switch", json={"enabled": "x"}).status_code == 422


def test_no_other_site_may_switch(site: Site) -> None:
    answer = site.post("/definitions/one/switch", data={"enabled": "no"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "enabled" in row(site, "one")


# --- Running already -------------------------------------------------------------------------------------------------


def test_one_that_is_running_is_refused_a_second_start_with_a_link_to_the_first(site: Site) -> None:
    first = start(site, "one")
    page = words(site.get("/definitions/one").text)
    assert f"running #{first} one more is refused until it ends" in page
    refused = site.post("/jobs", data={"definition": "one"})
    assert refused.status_code == 409
    assert f'href="/jobs/{first}">Go to the run in progress' in refused.text
    answer = site.post("/api/jobs", json={"definition": "one"})
    assert (answer.status_code, answer.json()["url"]) == (409, f"/jobs/{first}")
    told = site.get("/api/definitions/one").json()["definition"]
    assert (told["concurrency"], told["in_progress"], told["last_run"]) == (1, [first], None)


def test_one_that_allows_two_is_refused_the_third(site: Site, folder: Path) -> None:
    (folder / "one.toml").write_text("concurrency = 2\n" + ONE)
    first, second = start(site, "one"), start(site, "one")
    assert "one more is refused until one of them ends" in words(site.get("/definitions/one").text)
    assert site.post("/jobs", data={"definition": "one"}).status_code == 409
    site.post(f"/jobs/{first}/cancellation")
    start(site, "one")
    last = site.get("/api/definitions/one").json()["definition"]["last_run"]
    assert (last["job_id"], last["status"], last["url"]) == (first, "cancelled", f"/jobs/{first}")
    assert second


# --- The folder changes ----------------------------------------------------------------------------------------------


def test_a_change_in_the_folder_shows_on_the_page_and_runs_keep_what_they_began_with(site: Site, folder: Path) -> None:
    run = start(site, "one")
    (folder / "one.toml").write_text(ONE.replace("One at a time", "Renamed"))
    (folder / "more.toml").write_text(ONE.replace('"one"', '"more"'))
    (folder / "quick.toml").unlink()
    page = site.get("/definitions").text
    assert "Renamed" in page and "/definitions/more" in page and "/definitions/quick" not in page
    assert "Renamed" in site.get("/definitions/one").text
    kept = site.get(f"/jobs/{run}").text
    assert "One at a time" in kept and "Renamed" not in kept
    assert site.get("/definitions/quick").status_code == 404


def test_open_pages_hear_of_changed_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.work.watching.WATCH_INTERVAL", 0.01)
    with serving(folder) as site:
        revision = site.get("/healthz").json()["revision"]
        (folder / "more.toml").write_text(ONE.replace('"one"', '"more"'))
        for _ in range(2000):
            if site.get("/healthz").json()["revision"] > revision:
                return
    raise AssertionError("nobody was told of the new file")


# --- Step types of one's own -----------------------------------------------------------------------------------------


def test_a_step_type_that_cannot_be_loaded_is_shown_and_stops_nothing_else(folder: Path) -> None:
    broken = folder.parent / "broken.py"
    broken.write_text("import sys\n\nraise RuntimeError('<b>out of order</b>')\n")
    (folder / "greeting.toml").write_text('id = "greeting"\n[step.greet]\ntype = "greet"\n')
    with serving(folder, steps=(broken,)) as site:
        page = site.get("/definitions").text
        told = f"{broken}:3: RuntimeError: <b>out of order</b>"
        troubles = re.search(r'<section id="troubles".*?</section>', page, re.DOTALL)
        assert troubles and told in words(troubles[0]) and "<b>out" not in page
        assert f"was it in what could not be loaded: {told}?" in row(site, "greeting")
        assert site.post("/api/jobs", json={"definition": "greeting"}).status_code == 422
        start(site, "one")


def test_without_trouble_nothing_is_said_of_it(site: Site) -> None:
    assert "Step types that could not be loaded</h2>" not in site.get("/definitions").text


# --- Hostile strings -------------------------------------------------------------------------------------------------

KNOWN = {
    *("a", "article", "bdi", "button", "code", "div", "form", "h1", "h2", "header", "input", "label", "li", "nav"),
    *("ol", "option", "p", "pre", "section", "select", "span", "strong", "time", "ul", "details", "summary"),
}
"""What the pages of definitions consist of."""


def test_whatever_a_file_says_is_text(tmp_path: Path) -> None:
    (folder := tmp_path / "own").mkdir()
    for number, hostile in enumerate(CORPUS):
        text = json.dumps(hostile.stored[:5000], ensure_ascii=True).encode().decode()
        text = re.sub(r"\\ud[89ab]..\\ud[c-f]..", lambda pair: json.loads(f'"{pair[0]}"'), text)
        valid = f'id = "h{number}"\nname = {text}\ndescription = {text}\nparameters.p.help = {text}\n'
        valid += f'parameters.p.default = {text}\n[step.a]\ntype = "test_job_generator"\n'
        (folder / f"h{number}.toml").write_text(valid)
        wrong = f'id = "w{number}"\n[step.a]\ntype = {text}\n'
        (folder / f"w{number}.toml").write_text(wrong)
    with serving(folder) as site:
        paths = [f"/definitions/{kind}{number}" for number in range(0, len(CORPUS), 8) for kind in "hw"]
        for path in ("/definitions", *paths):
            answer = site.get(path)
            assert answer.status_code == 200, path
            elements = set(re.findall(r"<([a-z0-9]+)", answer.text.split("<main", 1)[1]))
            assert elements <= KNOWN, (path, elements - KNOWN)


# --- On the command line ---------------------------------------------------------------------------------------------


def test_the_command_line_is_refused_what_is_disabled_too(folder: Path) -> None:
    with serving(folder) as site:
        switch(site, "one", "no")
    where = ["--data", folder.parent / "data", "--definitions", folder]
    for definition, why in (
        ("one", "one is disabled; a person has switched it off; enable it on its page"),
        (folder / "one.toml", "one is disabled; a person has switched it off; enable it on its page"),
        ("disabled", "disabled is disabled; set `enabled = true` in"),
    ):
        ran = stepglass("run", definition, *where)
        assert ran.returncode == 2
        assert why in " ".join(ran.stderr.split())


def test_the_page_says_how_long_runs_are_kept(folder: Path) -> None:
    (folder / "one.toml").write_text(ONE + "[retention]\nruns = 20\n")
    with serving(folder, keep_days=30, keep_runs=5) as site:
        assert "of its finished runs it keeps the last 20, for 30 days; the others are deleted" in words(
            site.get("/definitions/one").text
        )
        assert "it keeps the last 5, for 30 days" in words(site.get("/definitions/quick").text)
    with serving(folder) as site:
        assert "it keeps" not in site.get("/definitions/quick").text
