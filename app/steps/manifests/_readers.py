"""Who reads which kind of manifest. Loaded where one is read: the parsers are many."""

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
