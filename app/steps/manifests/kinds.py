"""Which files are manifests, and who reads them."""

from __future__ import annotations

from collections.abc import Callable

from app.steps.manifests.build_info import BuildInfo
from app.steps.manifests.cargo import read_cargo
from app.steps.manifests.cmake import read_cmake
from app.steps.manifests.docker import read_dockerfile
from app.steps.manifests.go_mod import read_go_mod
from app.steps.manifests.gradle import read_gradle
from app.steps.manifests.make import read_makefile
from app.steps.manifests.maven import read_pom
from app.steps.manifests.node import read_package_json
from app.steps.manifests.python import read_pyproject, read_setup_cfg

Reader = Callable[[str], BuildInfo]
"""From the text of a manifest to what it says. Raises ManifestError for a malformed one."""

READERS: dict[str, Reader] = {
    "pyproject.toml": read_pyproject,
    "setup.cfg": read_setup_cfg,
    "package.json": read_package_json,
    "Cargo.toml": read_cargo,
    "go.mod": read_go_mod,
    "pom.xml": read_pom,
    "build.gradle": read_gradle,
    "build.gradle.kts": read_gradle,
    "settings.gradle": read_gradle,
    "settings.gradle.kts": read_gradle,
    "CMakeLists.txt": read_cmake,
    "Makefile": read_makefile,
    "Dockerfile": read_dockerfile,
}
_OTHER_NAMES = {"makefile": "Makefile", "GNUmakefile": "Makefile", "Containerfile": "Dockerfile"}
_NO_IMAGE = (".dockerignore", ".md", ".txt", ".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".in", ".erb")


def kind_of(path: str) -> str | None:
    """The kind of manifest that a file is by its name, a key of READERS; None for no manifest."""
    name = path.rpartition("/")[2]
    kind = name if name in READERS else _OTHER_NAMES.get(name)
    return kind or ("Dockerfile" if _is_dockerfile(name) else None)


def _is_dockerfile(name: str) -> bool:
    """Dockerfile.worker and worker.dockerfile, but no template and nothing about one."""
    lower = name.lower()
    return lower.endswith(".dockerfile") or (name.startswith("Dockerfile.") and not lower.endswith(_NO_IMAGE))
