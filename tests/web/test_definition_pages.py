"""The pages of definitions: which there are, what each says, and how it is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.stepglass import definitions, serving

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = definitions(tmp_path_factory.mktemp("definitions") / "own")
    (folder / "wrong.toml").write_text(WRONG)
    (folder / "disabled.toml").write_text(DISABLED)
    (folder / "moods.toml").write_text(MOODS)
    (folder / "anybody.toml").write_text(ANYBODY)
    with serving(tmp_path_factory.mktemp("data"), "--definitions", folder) as server:
        yield server.url


def test_all_definitions_are_listed_and_a_wrong_one_says_what_is_wrong(site: str) -> None:
    page = httpx.get(f"{site}/definitions").text
    for each in ("quick", "failing", "endless", "codebase_classify", "test_job_generator", "wrong", "disabled"):
        assert f'href="/definitions/{each}"' in page
    assert "no_such_type" in page


def test_a_definition_shows_its_text_and_a_form_made_from_its_parameters(site: str) -> None:
    page = httpx.get(f"{site}/definitions/codebase_classify").text
    assert 'name="parameter.folder"' in page
    assert 'name="definition" value="codebase_classify"' in page
    assert "[step.code_map]" in page


def test_a_definition_is_started_from_its_page(site: str) -> None:
    answer = httpx.post(f"{site}/jobs", data={"definition": "quick"})
    assert answer.status_code == 303
    assert httpx.get(f"{site}{answer.headers['location']}").status_code == 200


@pytest.mark.parametrize(("name", "said"), [("wrong", "no_such_type"), ("disabled", "<code>enabled = true</code>")])
def test_one_that_cannot_run_says_why_and_has_no_form(site: str, name: str, said: str) -> None:
    page = httpx.get(f"{site}/definitions/{name}").text
    assert said in page
    assert "<form" not in page


def test_an_unknown_one_is_not_found(site: str) -> None:
    answer = httpx.get(f"{site}/definitions/nothing", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "The queue shows all there is" in answer.text


def test_one_that_lacks_something_here_says_what_and_its_run_is_disabled(site: str) -> None:
    sentence = "sentiment: no language model is configured: set STEPGLASS_MODEL_ENDPOINT and STEPGLASS_MODEL where"
    page = httpx.get(f"{site}/definitions/moods").text
    assert sentence in page and re.search(r"<button[^>]* disabled[ >]", page)
    assert sentence in httpx.get(f"{site}/definitions").text
    (told,) = (each for each in httpx.get(f"{site}/api/definitions").json()["definitions"] if each["id"] == "moods")
    assert told["valid"] and sentence in told["obstacle"]
    open_to_a_parameter = httpx.get(f"{site}/definitions/anybody").text
    assert "disabled" not in open_to_a_parameter.partition("<form")[2].partition("</form>")[0]


@pytest.mark.parametrize("definition", ["moods", "anybody"])
def test_and_it_is_refused_before_anything_starts(site: str, definition: str) -> None:
    before = httpx.get(f"{site}/api/jobs?kind=manager").json()["total"]
    refused = httpx.post(f"{site}/jobs", data={"definition": definition})
    assert refused.status_code == 422 and "no language model is configured" in refused.text
    refused = httpx.post(f"{site}/api/jobs", json={"definition": definition})
    assert refused.status_code == 422
    assert refused.json()["problems"]["step.look"].startswith("sentiment: no language model is configured")
    assert httpx.get(f"{site}/api/jobs?kind=manager").json()["total"] == before
