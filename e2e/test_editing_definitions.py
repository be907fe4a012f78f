"""A definition is written, put right, saved and run in the page, without scripts; the list of definitions is live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.stepglass import ENDLESS, serving

WRONG = 'id = "fresh"\nname = "Fresh"\n\n[step.a]\ntype = "test_job_generater"\nworker_count = 2\nlog_delay_ms = 0\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    (own / "endless.toml").write_text(ENDLESS)
    return own


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with serving(folder.parent / "data", "--definitions", folder, "--edit-definitions") as server:
        yield server.url


def test_a_definition_is_written_put_right_saved_and_run(without_javascript: Page, url: str, folder: Path) -> None:
    page = without_javascript
    page.goto(f"{url}/definitions")
    page.get_by_role("link", name="New definition").click()
    text = page.get_by_label("Text of the definition")
    text.fill(WRONG)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".editor-problems")).to_contain_text("did you mean 'test_job_generator'?")
    expect(page.locator(".line-numbers mark")).to_have_text("5")
    expect(text).to_have_value(WRONG)
    mark, line = page.locator("mark").bounding_box(), text.bounding_box()
    assert mark and line and line["y"] < mark["y"] < line["y"] + 7 * mark["height"] * 1.5
    right = WRONG.replace("generater", "generator")
    text.fill(right)
    page.get_by_role("button", name="Check").click()
    expect(page.locator("p[role=status]")).to_contain_text("fresh, 1 step; not saved yet")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_contain_text("Fresh")
    assert (folder / "fresh.toml").read_text() == right
    page.get_by_role("button", name="Run").click()
    expect(page.locator("h1")).to_contain_text("Fresh #1")
    page.goto(f"{url}/definitions/fresh")
    page.get_by_role("button", name="Disable").click()
    expect(page.locator(".verdict")).to_contain_text("a person has switched it off")
    expect(page.get_by_role("button", name="Run")).to_have_count(0)


def test_an_open_list_hears_of_runs_and_of_files(page: Page, url: str, folder: Path) -> None:
    page.goto(f"{url}/definitions")
    expect(page.locator("#liveness .live")).to_have_text("live")
    row = page.locator('[data-definition="endless"]')
    expect(row.locator(".last-run")).to_have_text("never run")
    page.request.post(f"{url}/api/jobs", data={"definition": "endless"})
    expect(row.locator(".badge.running")).to_have_text("running")
    (folder / "later.toml").write_text(ENDLESS.replace('"endless"', '"later"'))
    expect(page.locator('[data-definition="later"]')).to_contain_text("never run", timeout=15_000)
    page.request.post(f"{url}/jobs/1/cancellation")
    expect(row.locator(".last-run .badge")).to_have_text("cancelled")
