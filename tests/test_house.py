"""The rules of this house that a program can check."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "app").rglob("*.py"))
LOCKED = [ROOT / "constraints.txt", ROOT / "constraints-dev.txt"]

SAYS_NOTHING = {"base", "common", "helpers", "service", "services", "util", "utils"}
REGISTRIES = [
    "://" + host
    for host in ("pypi" + ".org", "files.pythonhosted" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org")
]


def tracked_files() -> list[Path]:
    """Everything that a commit would hold; without git, as in a source archive, everything that stands here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_a_module_is_named_for_what_it_does() -> None:
    assert [str(path) for path in MODULES if SAYS_NOTHING & {path.stem, path.parent.name}] == []


def test_a_reader_can_hold_any_file_in_the_head() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_no_file_names_a_package_registry() -> None:
    def names_one(path: Path) -> bool:
        content = path.read_bytes()
        return any(registry.encode() in content for registry in REGISTRIES)

    assert [str(path) for path in tracked_files() if names_one(path)] == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_every_dependency_is_pinned_by_version_and_hash(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pinned = re.compile(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+ (; [^#]+ )?( *--hash=sha256:[0-9a-f]{64})+\s*")
    assert lines
    assert [line for line in lines if not pinned.fullmatch(line)] == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_pinned_versions_carry_no_address(path: Path) -> None:
    assert "://" not in path.read_text()


def test_the_tests_run_on_the_versions_that_users_get() -> None:
    users, tests = (set(re.findall(r"^[a-z0-9.\[\],-]+==\S+", path.read_text(), re.MULTILINE)) for path in LOCKED)
    assert users <= tests


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    pinned = set(re.findall(r"^([a-z0-9.-]+)", LOCKED[0].read_text(), re.MULTILINE))
    assert wanted <= pinned


def test_the_commands_that_the_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
        assert named and named <= targets, document


def test_the_changelog_says_what_is_not_yet_released() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
