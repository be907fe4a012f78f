"""Manifests as they stand in real code bases: what they say is found, what is malformed is told with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.steps.extract_build_info import ExtractBuildInfo
from app.steps.manifests._readers import READERS
from app.steps.manifests.build_info import BuildInfo, Dependency, ManifestError
from app.steps.manifests.kinds import KINDS, kind_of
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage
from .whole_runs import Runs

PYPROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "notes"
dynamic = ["version"]
description = "Keeps notes"
requires-python = ">=3.11"
dependencies = [
    "httpx[http2] >=0.28,<1 ; python_version < '3.14'",
    "rich",
    "mine @ git+https://git.example.org/mine.git@main",
]

[project.scripts]
notes = "notes.cli:main"

[project.optional-dependencies]
postgres = ["psycopg[binary]>=3.2"]

[dependency-groups]
dev = ["pytest>=8", { include-group = "lint" }]
lint = ["ruff"]

[tool.poe.tasks]
check = "ruff check ."
all = { cmd = "make all" }

[tool.uv.workspace]
members = ["packages/*"]
"""

POETRY = """
[tool.poetry]
name = "older"
version = "1.2.0"
[tool.poetry.dependencies]
python = "^3.9"
requests = "^2.31"
own = { path = "../own", optional = true }
[tool.poetry.group.test.dependencies]
pytest = { version = ">=7", extras = ["x"] }
[tool.poetry.scripts]
older = "older:main"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""

SETUP_CFG = """
[metadata]
name = tool
version = attr: tool.__version__
[options]
python-requires = >=3.8
install_requires =
    # what it needs
    click>=8
    attrs
[options.extras_require]
yaml = PyYAML>=6
[options.entry_points]
console_scripts =
    tool = tool.main:run
[flake8]
max-line-length = 100
"""

PACKAGE_JSON = """{
  "name": "@notes/page", "version": "2.0.1", "packageManager": "pnpm@9.1.0",
  "engines": {"node": ">=20"},
  "bin": "./bin/page.js", "type": "module", "main": "dist/index.js",
  "scripts": {"build": "tsc -p .", "test": "vitest"},
  "dependencies": {"react": "^18.2.0"},
  "devDependencies": {"typescript": "~5.4.0"},
  "peerDependencies": {"react-dom": "*"},
  "workspaces": {"packages": ["packages/*"]}
}"""

CARGO = """
[package]
name = "seek"
version.workspace = true
edition = "2021"
[[bin]]
name = "seek"
path = "src/main.rs"
[dependencies]
serde = { version = "1.0", features = ["derive"] }
tokio = { version = "1", optional = true }
near = { path = "../near" }
[dev-dependencies]
tempfile = "3"
[target.'cfg(unix)'.dependencies]
nix = "0.29"
"""

GO_MOD = """// a service
module example.org/notes

go 1.22

require github.com/spf13/cobra v1.8.0
require (
\tgolang.org/x/sync v0.7.0
\tgithub.com/spf13/pflag v1.0.5 // indirect
)

replace example.org/own => ../own // for now
exclude ( example.org/old v1.0.0 )
tool golang.org/x/tools/cmd/stringer
""".replace("exclude ( example.org/old v1.0.0 )\n", "exclude example.org/old v1.0.0\n")

POM = """<?xml version="1.0" encoding="ISO-8859-1"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <parent><groupId>org.example</groupId><artifactId>all</artifactId><version>3.1</version></parent>
  <artifactId>notes-core</artifactId>
  <!-- what it is -->
  <description>Keeps   notes</description>
  <properties><java.version>17</java.version><guava.version>33.0</guava.version></properties>
  <modules><module>web</module></modules>
  <dependencies>
    <dependency><groupId>com.google.guava</groupId><artifactId>guava</artifactId>
      <version>${guava.version}-jre</version></dependency>
    <dependency><groupId>${project.groupId}</groupId><artifactId>near</artifactId>
      <version>${project.version}</version></dependency>
    <dependency><groupId>org.junit</groupId><artifactId>junit</artifactId><version>5</version>
      <scope>test</scope></dependency>
  </dependencies>
  <build><plugins><plugin><artifactId>maven-jar-plugin</artifactId></plugin></plugins></build>
</project>"""

GRADLE = """
plugins {
    id 'java'
    id "org.springframework.boot" version "3.2.0" apply false // the framework
    id 'scala' apply false
}
group = 'org.example'
version = '1.4.0'
sourceCompatibility = JavaVersion.VERSION_17

dependencies {
    implementation 'com.google.guava:guava:33.0-jre'
    implementation("org.slf4j:slf4j-api:${versions["slf4j"]}") { exclude group: 'x', module: 'y' }
    implementation project(':core')
    testImplementation group: 'junit', name: 'junit',
        version: '4.13'
    debugImplementation libs.leak.canary
    runtimeOnly files('a.jar')
}
def pattern = ~/it's {odd/
tasks.register('docs') { doLast { println "no } here: ${'}'}" } }
task clean2(type: Delete) { }
application { mainClass = 'org.example.Main' }
/* implementation 'not:this:1' */
"""

GRADLE_KTS = """
plugins {
    `java-library`
    kotlin("jvm") version "1.9.22"
    alias(libs.plugins.shadow)
}
dependencies {
    implementation(platform("org.example:bom:1.0"))
    api(libs.coroutines.core)
    testImplementation(kotlin("test"))
    testImplementation(projects.core.fakes)
    ksp("a:b:2")
}
kotlin { jvmToolchain(21) }
val text = \"\"\"a "quoted" { text\"\"\"
"""

CMAKE = """
cmake_minimum_required(VERSION 3.16...3.28)
#[[ a comment
) over lines ]]
set(LIBRARY notes)
project(${LIBRARY} VERSION 1.2.3 DESCRIPTION "Keeps (notes)" LANGUAGES CXX C)
set(CMAKE_CXX_STANDARD 20)
find_package(Boost 1.80 REQUIRED COMPONENTS system) # needed
find_package(Doxygen)
FetchContent_Declare(fmt GIT_REPOSITORY https://git.example.org/fmt.git GIT_TAG 10.2.1)
pkg_check_modules(DEPS REQUIRED IMPORTED_TARGET libuv>=1.40)
add_library(${PROJECT_NAME} STATIC a.cpp "b c.cpp")
add_executable(tool main.cpp)
if((A AND B) OR NOT C)
  add_subdirectory(src)
endif()
add_executable(${unknown} x.cpp)
add_test(NAME unit COMMAND tool --test)
message([==[ ]] " ) ]==])
"""

MAKEFILE = """
VERSION ?= 1.2 # now
SOURCES := $(wildcard src/*.c)
.PHONY: all clean

all: build  ## Builds everything
build: $(SOURCES) \\
       Makefile
\t@cc -o tool $(SOURCES)
\tifeq is no directive here
ifeq ($(OS),Windows_NT)
EXTRA = .exe
else ifdef MAC
EXTRA =
else
EXTRA = .bin
endif
clean test:: ; rm -f tool
%.o: %.c
\tcc -c $<
$(BIN)/tool: build
debug: CFLAGS += -g
debug: build
define RECIPE
what: ever
  you like
endef
include more.mk
$(info hello)
"""

DOCKERFILE = """# syntax=docker/dockerfile:1
ARG PYTHON=3.12
FROM --platform=$BUILDPLATFORM node:20 AS page
COPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/
RUN npm ci && \\
    # a comment in between
    npm run build
EXPOSE 1
FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.version="2.1" org.opencontainers.image.title=notes
COPY --from=page /dist /srv
RUN <<EOF
FROM nothing
cat <<< "here"
EOF
expose 8000/tcp 9000
ENTRYPOINT ["notes", "serve"]
CMD --port 8000
"""


def needs(info: BuildInfo, scope: str) -> dict[str, str]:
    return {each.name: each.constraint for each in info.dependencies if each.scope == scope}


def test_pyproject() -> None:
    info = READERS["pyproject.toml"](PYPROJECT)
    assert (info.name, info.version, info.build_tool, info.language) == ("notes", "dynamic", "hatchling", "Python")
    assert (info.description, info.language_version) == ("Keeps notes", ">=3.11")
    assert needs(info, "run") == {
        "httpx[http2]": ">=0.28,<1",
        "rich": "",
        "mine": "git+https://git.example.org/mine.git@main",
    }
    assert needs(info, "build") == {"hatchling": ">=1.27"}
    assert Dependency("psycopg[binary]", ">=3.2", "optional", "postgres") in info.dependencies
    assert Dependency("pytest", ">=8", "development", "dev") in info.dependencies
    assert info.entry_points == {"notes": "notes.cli:main"}
    assert info.commands == {"check": "ruff check .", "all": "make all"}
    assert info.parts == ["packages/*"]


def test_pyproject_of_poetry() -> None:
    info = READERS["pyproject.toml"](POETRY)
    assert (info.name, info.version, info.build_tool, info.language_version) == ("older", "1.2.0", "poetry", "^3.9")
    assert needs(info, "run") == {"requests": "^2.31"}
    assert needs(info, "optional") == {"own": "path ../own"}
    assert Dependency("pytest", ">=7", "development", "test") in info.dependencies
    assert info.entry_points == {"older": "older:main"}


def test_pyproject_that_only_configures_tools() -> None:
    info = READERS["pyproject.toml"]("[tool.ruff]\nline-length = 100\n")
    assert (info.build_tool, info.name, info.dependencies) == ("", "", [])


def test_setup_cfg() -> None:
    info = READERS["setup.cfg"](SETUP_CFG)
    assert (info.name, info.version, info.build_tool, info.language_version) == (
        "tool",
        "dynamic",
        "setuptools",
        ">=3.8",
    )
    assert needs(info, "run") == {"click": ">=8", "attrs": ""}
    assert Dependency("PyYAML", ">=6", "optional", "yaml") in info.dependencies
    assert info.entry_points == {"tool": "tool.main:run"}


def test_package_json() -> None:
    info = READERS["package.json"](PACKAGE_JSON)
    assert (info.name, info.version, info.build_tool) == ("@notes/page", "2.0.1", "pnpm")
    assert (info.language, info.language_version) == ("TypeScript", ">=20")
    assert needs(info, "run") == {"react": "^18.2.0"}
    assert needs(info, "development") == {"typescript": "~5.4.0"}
    assert needs(info, "peer") == {"react-dom": "*"}
    assert info.commands == {"build": "tsc -p .", "test": "vitest"}
    assert info.entry_points == {"page": "./bin/page.js", "main": "dist/index.js"}
    assert info.parts == ["packages/*"]


def test_cargo() -> None:
    info = READERS["Cargo.toml"](CARGO)
    assert (info.name, info.version, info.language_version) == ("seek", "of the workspace", "edition 2021")
    assert needs(info, "run") == {"serde": "1.0", "near": "path ../near", "nix": "0.29"}
    assert needs(info, "optional") == {"tokio": "1"}
    assert needs(info, "development") == {"tempfile": "3"}
    assert info.entry_points == {"seek": "src/main.rs"}


def test_go_mod() -> None:
    info = READERS["go.mod"](GO_MOD)
    assert (info.name, info.language_version) == ("example.org/notes", "1.22")
    assert needs(info, "run") == {"github.com/spf13/cobra": "v1.8.0", "golang.org/x/sync": "v0.7.0"}
    assert needs(info, "indirect") == {"github.com/spf13/pflag": "v1.0.5"}
    assert needs(info, "build") == {"golang.org/x/tools/cmd/stringer": ""}


def test_pom() -> None:
    info = READERS["pom.xml"](POM)
    assert (info.name, info.version, info.language_version) == ("org.example:notes-core", "3.1", "17")
    assert info.description == "Keeps notes"
    assert needs(info, "run") == {"com.google.guava:guava": "33.0-jre", "org.example:near": "3.1"}
    assert needs(info, "test") == {"org.junit:junit": "5"}
    assert needs(info, "build") == {"maven-jar-plugin": ""}
    assert needs(info, "parent") == {"org.example:all": "3.1"}
    assert info.parts == ["web"]


def test_gradle() -> None:
    info = READERS["build.gradle"](GRADLE)
    assert (info.name, info.version, info.language, info.language_version) == ("org.example", "1.4.0", "Java", "17")
    assert needs(info, "plugin") == {"java": "", "org.springframework.boot": "3.2.0", "scala": ""}
    assert needs(info, "run") == {
        "com.google.guava:guava": "33.0-jre",
        "org.slf4j:slf4j-api": '${versions["slf4j"]}',
        ":core": "of the workspace",
        "libs.leak.canary": "named elsewhere",
    }
    assert needs(info, "test") == {"junit:junit": "4.13"}
    assert info.commands == {"docs": "task", "clean2": "task"}
    assert info.entry_points == {"main": "org.example.Main"}


def test_gradle_in_kotlin() -> None:
    info = READERS["build.gradle.kts"](GRADLE_KTS)
    assert (info.language, info.language_version) == ("Kotlin", "21")
    assert needs(info, "plugin") == {"java-library": "", "org.jetbrains.kotlin.jvm": "1.9.22"}
    assert needs(info, "run") == {"org.example:bom": "1.0", "libs.coroutines.core": "named elsewhere"}
    assert needs(info, "test") == {"org.jetbrains.kotlin:kotlin-test": "", ":core:fakes": "of the workspace"}
    assert needs(info, "build") == {"a:b": "2"}


def test_gradle_settings() -> None:
    info = READERS["settings.gradle"](
        "rootProject.name = 'notes'\ninclude ':core', ':web',\n    ':page'\nproject(':core').name = 'core-of-notes'\n"
    )
    assert (info.name, info.parts) == ("notes", [":core", ":web", ":page"])


def test_cmake() -> None:
    info = READERS["CMakeLists.txt"](CMAKE)
    assert (info.name, info.version, info.description) == ("notes", "1.2.3", "Keeps (notes)")
    assert (info.language, info.language_version) == ("C++, C", "C++20")
    assert needs(info, "build") == {"cmake": ">=3.16...3.28"}
    assert needs(info, "run") == {"Boost": ">=1.80", "fmt": "10.2.1", "libuv": ">=1.40"}
    assert needs(info, "optional") == {"Doxygen": ""}
    assert info.commands == {"notes": "static library", "tool": "executable", "unit": "test"}
    assert info.entry_points == {"tool": "main.cpp"}
    assert info.parts == ["src"]


def test_makefile() -> None:
    info = READERS["Makefile"](MAKEFILE)
    assert info.version == "1.2"
    assert info.commands == {
        "all": "Builds everything",
        "build": "cc -o tool $(SOURCES)",
        "clean": "rm -f tool",
        "test": "rm -f tool",
        "debug": "",
    }


def test_dockerfile() -> None:
    info = READERS["Dockerfile"](DOCKERFILE)
    assert info.base_images == ["node:20", "ghcr.io/astral-sh/uv:0.5", "python:3.12-slim"]
    assert (info.name, info.version, info.ports) == ("notes", "2.1", ["8000/tcp", "9000"])
    assert info.entry_points == {"entrypoint": "notes serve", "cmd": "--port 8000"}


@pytest.mark.parametrize(
    ("kind", "text", "line", "reason"),
    [
        ("pyproject.toml", '[project]\nname = "a"\nversion = \n', 3, "is not TOML"),
        ("pyproject.toml", '[project]\nname = "a"\nname = "b"\n', 3, "is not TOML"),
        ("pyproject.toml", "[project\n", 1, "is not TOML"),
        (
            "pyproject.toml",
            "[tool.x]\na = 1\n\n[project]\nname = 3\n",
            5,
            "project.name must be a text, but is a number",
        ),
        ("pyproject.toml", '[project]\nname = "a"\ndependencies = [1]\n', 3, "must be a list of texts"),
        ("pyproject.toml", '[project]\ndependencies = [\n "a",\n ">=3",\n]\n', 4, "'>=3' is not a requirement"),
        ("pyproject.toml", "a = " + "[" * 100_000, None, "nested too deeply"),
        ("setup.cfg", "name = a\n", 1, "before the first [section]"),
        ("setup.cfg", "[metadata]\nname = a\n[metadata]\n", 3, "[metadata] twice"),
        ("setup.cfg", "[metadata]\nname = a\nname = b\n", 3, "name twice"),
        ("setup.cfg", "[metadata]\nname = a\nwhat is this\n", 3, "neither a [section] nor key = value"),
        ("package.json", '{\n  "name": "a",\n}', 3, "is not JSON"),
        ("package.json", '{"name": "a",\n "dependencies": ["b"]}', 2, "dependencies must be a table, but is a list"),
        ("package.json", "[]", 1, "must be an object"),
        ("package.json", "[" * 100_000, None, "nested too deeply"),
        ("Cargo.toml", '[dependencies]\na = "1"\n', 1, "neither a [package] nor a [workspace]"),
        ("go.mod", "module a\nneed b v1\n", 2, "'need' is no word of go.mod"),
        ("go.mod", "module a\n\nrequire (\n b v1.0.0\n", 3, "never closed"),
        ("go.mod", "module a\nrequire b\n", 2, "a requirement is a module and a version"),
        ("go.mod", "go 1.22\n", 1, "has no module line"),
        ("pom.xml", "<project>\n<name>a</nam>\n</project>", 2, "is not XML"),
        ("pom.xml", "<html/>", 1, "begins with <html>"),
        ("pom.xml", "<project>\n<dependencies><dependency/></dependencies></project>", 2, "has no <artifactId>"),
        ("pom.xml", "", 1, "is not XML"),
        ("build.gradle", "plugins {\n  id 'java'\n", 1, "{ is never closed"),
        ("build.gradle", "a {\n}\n}\n", 3, "} closes nothing that is open"),
        ("build.gradle", "a = 1\nb = 'text\n", 2, "a text is never ended"),
        ("build.gradle", "\n/* a\n", 2, "a comment is never ended"),
        ("CMakeLists.txt", "project(a)\nset(B\n  c\n", 2, "never closed"),
        ("CMakeLists.txt", 'project(a)\nset(B\n  "c)\n', 3, "a quoted argument never ends"),
        ("CMakeLists.txt", "project a\n", 1, "is no command"),
        ("CMakeLists.txt", "\nset(A [=[ b ]])\n", 2, "is never closed by ]=]"),
        ("Makefile", "all: b\n        echo a\n", 2, "begins with a tab"),
        ("Makefile", "A = 1\nifdef A\nB = 2\n", 2, "ifdef is never ended"),
        ("Makefile", "\nendif\n", 2, "endif has nothing before it"),
        ("Makefile", "define A\nwhat\n", 1, "define is never ended"),
        ("Dockerfile", "FROM a\n\nRUNN b\n", 3, "'RUNN' is no instruction"),
        ("Dockerfile", "# nothing\n", 1, "has no FROM"),
        ("Dockerfile", "RUN a\nFROM b\n", 1, "RUN stands before the first FROM"),
        ("Dockerfile", "FROM a\nRUN <<END\nb\n", 2, "the here-document END never ends"),
        ("Dockerfile", "FROM a as\n", 1, "FROM takes an image"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(kind: str, text: str, line: int | None, reason: str) -> None:
    with pytest.raises(ManifestError) as raised:
        READERS[kind](text)
    assert reason in raised.value.reason
    assert raised.value.line_in(text) == line


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("pom.xml", "<project><x>" * 100_000),
        ("pom.xml", "<project>" + "<!-- " * 200_000),
        ("build.gradle", "a = /" * 40_000),
        ("build.gradle", "${" * 200_000),
        ("build.gradle", '"${' * 300_000),
        ("CMakeLists.txt", "set(a [[" * 100_000),
        ("CMakeLists.txt", "#[[\n" * 200_000),
        ("CMakeLists.txt", "set(A xx)\n" + 'set(A "${A}${A}")\n' * 20_000),
        ("Makefile", "a" * 1_000_000),
        ("Makefile", "a\\\n" * 300_000),
        ("Makefile", "$(" * 300_000 + ":"),
        ("Dockerfile", "FROM a\n" + "RUN a <<A <<A\nA\nA\n" * 30_000),
        ("Dockerfile", "ARG A=b\n" + "ARG A$A=$A$A\n" * 50_000 + "FROM $A"),
        ("go.mod", "module a\n" + "require (\n" * 100_000),
        ("setup.cfg", "[a]\n" + "b = c\n d\n" * 2),
        ("package.json", '{"a": ' * 200_000),
        ("pyproject.toml", "[" + "a." * 2_000 + "a]"),
    ],
)
def test_a_hostile_manifest_ends(kind: str, text: str) -> None:
    """In time that grows with its length, not with its square: those of a megabyte would run into the suite's limit."""
    try:
        READERS[kind](text).facts()
    except ManifestError as error:
        assert len(error.reason) < 1000


def test_entities_of_a_pom_are_refused_before_they_are_read() -> None:
    bombs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">\n' for n in range(1, 30))
    bomb = (
        f'<?xml version="1.0"?>\n<!DOCTYPE project [\n<!ENTITY e0 "ha">\n{bombs}]><project><name>&e29;</name></project>'
    )
    with pytest.raises(ManifestError, match="declares an entity") as raised:
        READERS["pom.xml"](bomb)
    assert raised.value.line == 3
    outside = '<!DOCTYPE project SYSTEM "file:///etc/passwd"><project><name>a</name></project>'
    assert READERS["pom.xml"](outside).description == "a"


def test_properties_that_name_each_other_end() -> None:
    loop = "<a>${b}${b}</a><b>${a}${a}</b>"
    text = f"<project><artifactId>${{a}}</artifactId><properties>{loop}</properties></project>"
    assert len(READERS["pom.xml"](text).name) <= 500


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pyproject.toml", "pyproject.toml"),
        ("a/b/GNUmakefile", "Makefile"),
        ("build.gradle.kts", "build.gradle.kts"),
        ("deploy/Dockerfile.worker", "Dockerfile"),
        ("worker.dockerfile", "Dockerfile"),
        ("Dockerfile.j2", None),
        ("Dockerfile.dockerignore", None),
        ("package.json.bak", None),
        ("cargo.toml", None),
        ("Makefile/a.py", None),
    ],
)
def test_manifests_are_known_by_their_names(path: str, kind: str | None) -> None:
    assert kind_of(path) == kind


def test_every_kind_has_its_reader() -> None:
    assert set(READERS) == KINDS
    assert {kind_of(kind) for kind in KINDS} == KINDS


def documents(**bodies: str) -> dict[str, StoredDocument]:
    paths = [(f"file:/code/{name}", body) for name, body in bodies.items()]
    return {address: StoredDocument(address, address, body, "file", ("codebase",)) for address, body in paths}


async def test_facts_become_a_document_beside_that_of_the_file_and_are_told(stage: MakeStage) -> None:
    stored = documents(**{"go.mod": GO_MOD, "main.go": "package main", "web/package.json": PACKAGE_JSON})
    on_stage = stage(ExtractBuildInfo, stored, folder="/code", filter_tags=["codebase"], tags=["manifest"])
    results = await on_stage.run()
    assert {name: result["dependencies"] for name, result in results.items()} == {"go.mod": 4, "web/package.json": 3}
    facts = stored["build_info:/code/go.mod"].metadata["extract_build_info"]
    assert (facts["kind"], facts["name"], facts["language"]) == ("go.mod", "example.org/notes", "Go")
    assert facts["dependencies"][0] == {
        "name": "github.com/spf13/cobra",
        "constraint": "v1.8.0",
        "scope": "run",
        "group": "",
    }
    saved = stored["build_info:/code/go.mod"]
    assert (saved.title, saved.source_type, saved.tags) == ("go.mod", "build_info", ("manifest",))
    assert "| github.com/spf13/cobra | v1.8.0 | run |" in saved.body
    assert stored["file:/code/go.mod"].metadata == {}, "the file's document is left to others"
    assert on_stage.context.saves == ["build_info:/code/go.mod", "build_info:/code/web/package.json"]
    assert on_stage.context.messages("info")[0] == "go.mod: example.org/notes; Go; 4 dependencies"


async def test_a_malformed_manifest_fails_alone_and_loses_its_former_facts(stage: MakeStage) -> None:
    stored = documents(**{"a/package.json": '{"name": "former"}', "b/package.json": "{}"})
    on_stage = stage(ExtractBuildInfo, stored, folder="/code")
    assert (await on_stage.run())["a/package.json"]["name"] == "former"
    stored |= documents(**{"a/package.json": "{\n"})
    results = await on_stage.run()
    assert isinstance(results["a/package.json"], PermanentError)
    assert str(results["a/package.json"]).startswith("a/package.json, line 2: is not JSON")
    assert results["b/package.json"]["build_tool"] == "npm"
    saved = stored["build_info:/code/a/package.json"]
    assert saved.metadata["extract_build_info"]["line"] == 2 and "name" not in saved.metadata["extract_build_info"]
    assert "Line 2: it could not be read" in saved.body


async def test_what_a_manifest_said_goes_with_its_document(stage: MakeStage) -> None:
    stored = documents(**{"go.mod": GO_MOD, "a/go.mod": GO_MOD}) | {
        "file:/other/go.mod": StoredDocument("file:/other/go.mod", "go.mod", GO_MOD, "file")
    }
    await stage(ExtractBuildInfo, stored).run()
    del stored["file:/code/a/go.mod"], stored["file:/other/go.mod"]
    stage(ExtractBuildInfo, stored, folder="/code").plan()
    assert [address for address in stored if address.startswith("build_info:")] == [
        "build_info:/code/go.mod",
        "build_info:/other/go.mod",
    ], "in the folder that is looked at"


async def test_manifests_that_are_none_of_the_code_base_can_be_left_out(stage: MakeStage) -> None:
    stored = documents(**{"go.mod": "", "tests/data/go.mod": "", "Makefile": ""})
    planned = stage(ExtractBuildInfo, stored, folder="/code", exclude_paths=["tests/data/"]).plan()
    assert [item.name for item in planned] == ["Makefile", "go.mod"]


async def test_it_does_not_matter_where_the_files_came_from(stage: MakeStage) -> None:
    addresses = ["git:https://git.example.org/a.git@main/go.mod", "https://github.com/a/b/blob/main/tool/go.mod"]
    stored = {address: StoredDocument(address, "go.mod", GO_MOD, "file") for address in addresses}
    results = await stage(ExtractBuildInfo, stored).run()
    assert [result["name"] for result in results.values()] == ["example.org/notes"] * 2
    assert list(stored)[2:] == [f"build_info:{address}" for address in addresses]


async def test_long_texts_and_lists_are_cut(stage: MakeStage) -> None:
    targets = "".join(f"t{number}: x\n" for number in range(5000))
    stored = documents(Makefile=targets + "VERSION = " + "9" * 5000 + "\n")
    await stage(ExtractBuildInfo, stored, folder="/code").run()
    facts: dict[str, Any] = stored["build_info:/code/Makefile"].metadata["extract_build_info"]
    assert (len(facts["commands"]), len(facts["version"])) == (2000, 500)


async def test_in_a_run_the_malformed_ones_are_counted_and_named(runs: Runs, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "pyproject.toml").write_text(PYPROJECT)
    (code / "package.json").write_text('{"name": }')
    (code / "Dockerfile").write_bytes(b"\0\1\2")
    ended = await runs.run(
        """
        [parameters.folder]
        type = "folder"
        [step.import]
        type = "import_files"
        folder = "{folder}"
        [step.build]
        type = "extract_build_info"
        folder = "{folder}"
        """,
        folder=str(code),
    )
    build = ended.run.steps[1]
    assert (build.counts.completed, build.counts.failed, build.document_count) == (1, 2, 3)
    errors = {item.job.name: item.job.error for item in ended.items if item.job.error}
    assert errors == {
        "Dockerfile": "Dockerfile: is no text",
        "package.json": "package.json, line 1: is not JSON: Expecting value at column 10",
    }
    (saved,) = [each for each in ended.documents if each.address == f"build_info:{code}/package.json"]
    assert saved.metadata["extract_build_info"]["line"] == 1, "what a failed work item saved is kept"
