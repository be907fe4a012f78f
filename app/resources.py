"""The files that travel with the code: templates, static files and the bundled definitions.

In a checkout templates/ and static/ stand beside the package; in an installed wheel they lie inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def templates_dir() -> Path:
    """The pages and fragments/."""
    return _travelling("templates")


def static_dir() -> Path:
    """What is served under /static: vendor/ and css/."""
    return _travelling("static")


def definitions_dir() -> Path:
    """The TOML files of the bundled definitions."""
    return _PACKAGE / "definitions"


def _travelling(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
