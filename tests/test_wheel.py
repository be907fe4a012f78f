"""The wheel carries everything: installed into an empty environment, it works like the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.stepglass import serving

ROOT = Path(__file__).parent.parent

PLACES = """
import json
import app
from app import resources
places = {"package": app.__path__[0]}
for name in ("templates_dir", "static_dir", "definitions_dir"):
    places[name] = str(getattr(resources, name)())
print(json.dumps(places))
"""


@dataclass(frozen=True)
class Installed:
    """An environment with Stepglass from its wheel, that sees the libraries of the environment running the tests."""

    directory: Path

    @property
    def site_packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.directory)}))

    def run(self, program: str, *arguments: str) -> str:
        command = [self.directory / "bin" / program, *arguments]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(ROOT))
    (built,) = directory.glob("stepglass-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = Installed(tmp_path_factory.mktemp("empty") / "venv")
    venv.create(environment.directory, symlinks=True)
    pip("--python", str(environment.directory), "install", "--no-deps", "--no-index", str(wheel))
    # A plain path line: unlike a site directory, it does not run the .pth file that leads back to this checkout.
    (environment.site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def travelling_files() -> list[str]:
    """What the package needs beside its modules, as paths inside the wheel."""
    files = [path for folder in ("app", "templates", "static") for path in (ROOT / folder).rglob("*") if path.is_file()]
    inside = [path.relative_to(ROOT) for path in files if "__pycache__" not in path.parts]
    return [str(path if path.parts[0] == "app" else "app" / path) for path in inside]


def test_the_wheel_carries_every_file_once(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("app/")]
    assert sorted(names) == sorted(travelling_files())


def test_the_installed_package_finds_its_own_files(installed: Installed) -> None:
    package = installed.site_packages / "app"
    assert json.loads(installed.run("python", "-c", PLACES)) == {
        "package": str(package),
        "templates_dir": str(package / "templates"),
        "static_dir": str(package / "static"),
        "definitions_dir": str(package / "definitions"),
    }


def test_the_installed_command_explains_itself(installed: Installed) -> None:
    assert "serve" in installed.run("stepglass", "--help")


def test_the_installed_server_serves_the_same_page(installed: Installed, tmp_path: Path) -> None:
    program = installed.directory / "bin" / "stepglass"
    with serving(tmp_path / "one") as ours, serving(tmp_path / "two", program=[program], PYTHONPATH="") as theirs:
        for path in ("/queue", "/static/vendor/htmx-4.0.1.min.js", "/static/icons/calm.svg", "/api/definitions"):
            ours_answer, theirs_answer = httpx.get(ours.url + path), httpx.get(theirs.url + path)
            assert ours_answer.status_code == theirs_answer.status_code == 200
            assert ours_answer.text == theirs_answer.text
