"""The main job on a folder of 5,000 files, with somebody looking at the page all the while."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

import httpx

from tests.bench.rig import show
from tests.stepglass import serving

FILES = 5_000
SUFFIXES = (".py", ".js", ".ts", ".go", ".md", ".toml", ".json", ".html", ".css", ".sh")


def test_codebase_classify(tmp_path: Path) -> None:
    """Target: under 60 s on 2 cores, and `/queue` in under 50 ms (median) throughout."""
    source = _code_base(tmp_path / "source")
    with serving(tmp_path / "data") as server, httpx.Client(base_url=server.url) as client:
        began = time.perf_counter()
        start = {"definition": "codebase_classify", "parameters": {"folder": str(source)}}
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
    show(f"codebase_classify over {FILES:,} files", seconds, "s", (), "target 60")
    for step in steps:
        print(f"    {step['name']}: {step['counts']}")
    show("/queue meanwhile, median", statistics.median(pages), "ms", pages, "target 50")


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
