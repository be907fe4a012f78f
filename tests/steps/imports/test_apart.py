"""A parser that breaks down takes only the file along that it broke down on."""

from __future__ import annotations

import sys

from app.steps.imports._apart import Apart
from app.steps.imports._parsing import imports_of

BREAKS_DOWN = """
import os, sys, time
from app.steps.imports import _apart
parse = _apart.imports_of
def broken(path, text):
    if "abort" in path:
        os.abort()
    if "hang" in path:
        time.sleep(600)
    if "half" in path:
        sys.stdout.write('{"half": ')
        sys.stdout.flush()
        os._exit(1)
    return parse(path, text)
_apart.imports_of = broken
_apart._main()
"""


def test_it_finds_what_parsing_here_finds() -> None:
    texts = {
        "a.py": "import a\n\u2028",
        "b.js": "import '\u00e4'; '\ud800'",
        "c.java": "package a.b; import c.D;",
        "d.py": "(",
    }
    with Apart() as apart:
        for path, text in texts.items():
            assert apart.imports_of(path, text) == imports_of(path, text)


def test_files_after_one_that_it_dies_of_are_parsed() -> None:
    with Apart([sys.executable, "-c", BREAKS_DOWN]) as apart:
        for path in ("abort.py", "half.py"):
            assert apart.imports_of(path, "import a").problem == "the parser broke down on it"
            assert apart.imports_of("a.py", "import a").imports


def test_one_that_never_answers_is_not_waited_for_for_ever() -> None:
    with Apart([sys.executable, "-c", BREAKS_DOWN], patience=0.2) as apart:
        assert apart.imports_of("hang.py", "import a").problem


def test_a_program_that_does_not_come_up_breaks_nothing() -> None:
    with Apart(["false"]) as apart:
        assert apart.imports_of("a.py", "x" * 1_000_000).problem
