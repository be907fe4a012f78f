"""The main jobs on folders of some thousand files, with somebody looking at the page all the while."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from pathlib import Path

import httpx

from tests.bench.rig import show
from tests.stepglass import COMMAND, serving

FILES = 5_000
ASSESSED = 3_000
SUFFIXES = (".py", ".js", ".ts", ".go", ".md", ".toml", ".json", ".html", ".css", ".sh")


def test_codebase_classify(tmp_path: Path) -> None:
    """Target: under 60 s on 2 cores, and `/queue` in under 50 ms (median) throughout."""
    _measure("codebase_classify", _code_base(tmp_path / "source"), tmp_path / "data", FILES, target=60)


def _code_base(folder: Path) -> Path:
    """Files of a few kB of made-up code in 200 directories; the same ones every time."""
    chance = random.Random(1)
    words = [f"name_{number}" for number in range(500)]
    for number in range(FILES):
        directory = folder / f"package_{number % 20}" / f"part_{number % 200}"
        directory.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(words, k=8)) for _ in range(chance.randint(10, 120))]
        (directory / f"module_{number}{chance.choice(SUFFIXES)}").write_text("\n".join(lines))
    return folder


def test_codebase_assess(tmp_path: Path) -> None:
    """Target: under 120 s on 2 cores for a repository of 3,000 files, without a model."""
    _measure("codebase_assess", _repository(tmp_path / "source", ASSESSED), tmp_path / "data", ASSESSED, target=120)


def _measure(definition: str, source: Path, data: Path, files: int, target: int) -> None:
    """Seconds of a run of the definition over `source`, and what the queue page takes meanwhile."""
    with serving(data, program=COMMAND) as server, httpx.Client(base_url=server.url) as client:
        began = time.perf_counter()
        start = {"definition": definition, "parameters": {"folder": str(source)}}
        url = client.post("/api/jobs", json=start).json()["url"]
        pages = []
        while (job := client.get(f"/api{url}").json())["status"] in ("pending", "running"):
            asked = time.perf_counter()
            client.get("/queue").raise_for_status()
            pages.append(1000 * (time.perf_counter() - asked))
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        assert job["status"] == "completed", job["reason"]
        steps = client.get(f"/api{url}/tree").json()["steps"]
    show(f"{definition} over {files:,} files", seconds, "s", (), f"target {target}")
    for step in steps:
        print(f"    {step['name']}: {step['counts']}")
    show("/queue meanwhile, median", statistics.median(pages), "ms", pages, "target 50")


def _repository(folder: Path, files: int) -> Path:
    """Code that really imports, in packages of 30 files with a manifest for every tenth; the same every time."""
    chance = random.Random(2)
    for number in range(files):
        package = folder / f"package_{number // 30}"
        package.mkdir(parents=True, exist_ok=True)
        write = IMPORTING[number % len(IMPORTING)]
        body = [f"value_{line} = {chance.randint(0, 999)}" for line in range(chance.randint(10, 120))]
        if number % 300 == 0:
            (package / "package.json").write_text(f'{{"name": "p{number}", "dependencies": {{"react": "^18.0.0"}}}}')
        else:
            name, text = write(number, chance.randrange(max(number // 30, 1)), body)
            (package / name).write_text(text)
    for arguments in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def _python(number: int, other: int, body: list[str]) -> tuple[str, str]:
    return f"module_{number}.py", "\n".join([f"import os, package_{other}.module_{other * 30 + 1}", *body])


def _typescript(number: int, other: int, body: list[str]) -> tuple[str, str]:
    lines = [
        f'import {{ value_0 }} from "../package_{other}/page_{other * 30 + 2}";',
        *(f"const {line};" for line in body),
    ]
    return f"page_{number}.ts", "\n".join(lines)


def _c(number: int, other: int, body: list[str]) -> tuple[str, str]:
    lines = [f'#include "../package_{other}/part_{other * 30 + 3}.h"', *(f"int {line};" for line in body)]
    return f"part_{number}.{'h' if number % 30 == 3 else 'c'}", "\n".join(lines)


def _java(number: int, other: int, body: list[str]) -> tuple[str, str]:
    lines = [
        f"package package_{number // 30};",
        f"import package_{other}.Part{other * 30 + 4};",
        f"class Part{number} {{",
    ]
    return f"Part{number}.java", "\n".join([*lines, *(f"int {line};" for line in body), "}"])


def _text(number: int, other: int, body: list[str]) -> tuple[str, str]:
    return f"page_{number}.md", "\n\n".join([f"# Page {number}", f"See {other}", *body])


IMPORTING = (_text, _python, _typescript, _c, _java)
