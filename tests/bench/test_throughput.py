"""Work items per second, end to end: planned, claimed, run, two log lines each, completed, counted, pages read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench import floor
from tests.bench.rig import items_per_second, median_of, show

ITEMS = 20_000
PEER_ITEMS = 3_000
SLOTS = 200
RUNS = 3


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def test_no_op_items_on_the_loop(tmp_path: Path) -> None:
    """Target: 10,000/s, and a third of what bare sqlite3 reaches with the same row changes."""
    ours, ours_all, bare, bare_all = _beside_the_floor(tmp_path, "NORMAL")
    show(
        "no-op async items, synchronous=NORMAL", ours, "items/s", ours_all, f"target 10,000; {ours / bare:.2f} of bare"
    )
    show("bare sqlite3, the same row changes", bare, "items/s", bare_all, "target: ours at least 0.33 of this")


def test_no_op_items_in_processes(tmp_path: Path) -> None:
    """Target: 3,000/s."""
    ours, ours_all = median_of(
        RUNS, lambda n: items_per_second(folder(tmp_path, f"p{n}"), "no_op_in_process", ITEMS, "NORMAL", SLOTS)
    )
    show("no-op def items in worker processes", ours, "items/s", ours_all, "target 3,000")


def test_durable_items_beside_huey(tmp_path: Path) -> None:
    """Target: 5 times Huey on SQLite, both with synchronous=FULL."""
    ours, ours_all, bare, bare_all = _beside_the_floor(tmp_path, "FULL")
    peer, peer_all = median_of(RUNS, lambda n: _huey(folder(tmp_path, f"huey{n}")))
    show("no-op async items, synchronous=FULL", ours, "items/s", ours_all, f"{ours / peer:.1f} times Huey, target 5")
    show("Huey on SQLite, synchronous=FULL", peer, "items/s", peer_all)
    show("bare sqlite3, synchronous=FULL", bare, "items/s", bare_all, f"ours is {ours / bare:.2f} of this")


def _beside_the_floor(tmp_path: Path, synchronous: str) -> tuple[float, list[float], float, list[float]]:
    """Ours and the floor in turn, so that both meet the same machine; the medians and all figures."""
    ours, bare = [], []
    for number in range(RUNS):
        here = folder(tmp_path, f"{synchronous}{number}")
        ours.append(items_per_second(folder(here, "ours"), "no_op", ITEMS, synchronous, SLOTS))  # type: ignore[arg-type]
        bare.append(floor.items_per_second(folder(here, "bare"), ITEMS, synchronous))
    return sorted(ours)[RUNS // 2], ours, sorted(bare)[RUNS // 2], bare


def _huey(path: Path) -> float:
    command = [sys.executable, "-m", "tests.bench.peers", str(path), str(PEER_ITEMS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[-1])
