"""Which files are manifests, told by their names."""

from __future__ import annotations

KINDS = frozenset(
    {"pyproject.toml", "setup.cfg", "package.json", "Cargo.toml", "go.mod", "pom.xml", "CMakeLists.txt", "Makefile"}
    | {"build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "Dockerfile"}
)
"""Each has its reader in _readers."""

_OTHER_NAMES = {"makefile": "Makefile", "GNUmakefile": "Makefile", "Containerfile": "Dockerfile"}
_NO_IMAGE = (".dockerignore", ".md", ".txt", ".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".in", ".erb")


def kind_of(path: str) -> str | None:
    """The kind of manifest that a file is by its name, one of KINDS; None for no manifest."""
    name = path.rpartition("/")[2]
    kind = name if name in KINDS else _OTHER_NAMES.get(name)
    return kind or ("Dockerfile" if _is_dockerfile(name) else None)


def _is_dockerfile(name: str) -> bool:
    """Dockerfile.worker and worker.dockerfile, but no template and nothing about one."""
    lower = name.lower()
    return lower.endswith(".dockerfile") or (name.startswith("Dockerfile.") and not lower.endswith(_NO_IMAGE))
