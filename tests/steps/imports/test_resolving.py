"""Which file, or which outside library, an import means."""
# ruff: noqa: E501  a source is one line here

from __future__ import annotations

import pytest

from app.steps.imports._parsing import imports_of
from app.steps.imports.code_base import CodeBase
from app.steps.imports.found import parsed_as
from app.steps.imports.graph import MANIFESTS, Graph, facts_of, graph_of, resolved


def code_base(files: dict[str, str], name: str = "") -> CodeBase:
    imports = {path: imports_of(path, text) for path, text in files.items() if parsed_as(path)}
    manifests = {path: text for path, text in files.items() if path.rpartition("/")[2] in MANIFESTS}
    return CodeBase(frozenset(files), imports, manifests, name)


def pairs(files: dict[str, str], name: str = "") -> set[str]:
    found, _ = resolved(code_base(files, name))
    return {f"{start} -> {end}" for start, end in found}


def external(files: dict[str, str]) -> dict[str, bool]:
    """What comes from outside, and whether it comes with the language."""
    _, found = resolved(code_base(files))
    return {name: standard for _, name, standard in found}


def test_python_modules_packages_and_what_is_in_them() -> None:
    files = {
        "pyproject.toml": "",
        "src/shop/__init__.py": "",
        "src/shop/cart.py": "from . import prices\nfrom .prices import total\nfrom .. import nothing\nimport yaml, os.path",
        "src/shop/prices.py": "from shop import VERSION, cart",
        "src/shop/deep/__init__.py": "",
        "src/shop/deep/er.py": "from ...shop.deep import er\nfrom ..cart import *\nimport shop.deep, shop.made_at_run_time",
        "tests/test_cart.py": "from shop.cart import Cart\nimport conftest",
        "tests/conftest.py": "import shop",
        "tests/yaml.py": "",
    }
    assert pairs(files) == {
        "src/shop/cart.py -> src/shop/prices.py",
        "src/shop/prices.py -> src/shop/__init__.py",
        "src/shop/prices.py -> src/shop/cart.py",
        "src/shop/deep/er.py -> src/shop/cart.py",
        "src/shop/deep/er.py -> src/shop/deep/__init__.py",
        "src/shop/deep/er.py -> src/shop/__init__.py",
        "tests/test_cart.py -> src/shop/cart.py",
        "tests/test_cart.py -> tests/conftest.py",
        "tests/conftest.py -> src/shop/__init__.py",
    }
    assert external(files) == {"yaml": False, "os": True}


def test_the_standard_library_is_meant_unless_the_file_beside_is() -> None:
    files = {"tools/email.py": "", "tools/send.py": "import email", "app/__init__.py": "", "app/x.py": "import email"}
    assert pairs(files) == {"tools/send.py -> tools/email.py"}
    assert external(files) == {"email": True}


def test_a_folder_that_is_a_package_itself_is_known_by_its_name() -> None:
    files = {"__init__.py": "", "a.py": "from shop.b import c\nfrom shop import a", "b.py": "import shop.a"}
    assert pairs(files, "shop") == {"a.py -> b.py", "b.py -> a.py"}


def test_javascript_paths_indexes_workspaces_and_aliases() -> None:
    files = {
        "package.json": '{"workspaces": ["packages/*"]}',
        "packages/ui/package.json": '{"name": "@shop/ui", "main": "./dist/index.js", "source": "lib/main.ts"}',
        "packages/ui/lib/main.ts": "import './button.js'; import data from './data.json'",
        "packages/ui/lib/button.tsx": "import React from 'react'; import x from '@scope/pkg/deep'; import 'node:fs'",
        "packages/ui/lib/data.json": "{}",
        "packages/app/tsconfig.json": '{ // options\n"compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["src/*"],},},}',
        "packages/app/src/index.ts": "import '@shop/ui'; import '@/deep'; import '@shop/ui/lib/button'; import '../../../../x'",
        "packages/app/src/deep/index.js": "require('..'); require('../missing'); require('src/index'); require('https://a.b/c')",
    }
    assert pairs(files) == {
        "packages/ui/lib/main.ts -> packages/ui/lib/button.tsx",
        "packages/ui/lib/main.ts -> packages/ui/lib/data.json",
        "packages/app/src/index.ts -> packages/ui/lib/main.ts",
        "packages/app/src/index.ts -> packages/app/src/deep/index.js",
        "packages/app/src/index.ts -> packages/ui/lib/button.tsx",
        "packages/app/src/deep/index.js -> packages/app/src/index.ts",
    }
    assert external(files) == {"react": False, "@scope/pkg": False, "fs": True, "https://a.b": False}


def test_go_packages_by_their_modules() -> None:
    files = {
        "go.mod": "// module nothing\nmodule example.org/shop // the shop\n",
        "main.go": 'package main\nimport ("example.org/shop/cart"; "fmt"; "net/http"; "github.com/a/b/c"; "example.org/shop/gone")',
        "cart/cart.go": 'package cart\nimport "example.org/shop/tools/x"',
        "cart/a_test.go": 'package cart\nimport "example.org/vendored/z"',
        "vendor/example.org/vendored/z/z.go": "package z",
        "tools/go.mod": 'module "example.org/shop/tools"',
        "tools/x/x.go": "package x",
    }
    assert pairs(files) == {
        "main.go -> cart/cart.go",
        "cart/cart.go -> tools/x/x.go",
        "cart/a_test.go -> vendor/example.org/vendored/z/z.go",
    }
    assert external(files) == {"fmt": True, "net/http": True, "github.com/a/b": False}


def test_rust_modules_crates_and_paths() -> None:
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["core", "cli"]',
        "core/Cargo.toml": '[package]\nname = "shop-core"',
        "core/src/lib.rs": 'pub mod cart; mod prices; #[path = "odd/name.rs"] mod odd; mod inline { use super::cart::Cart; }',
        "core/src/cart.rs": "use crate::prices::{self, Total}; mod item; use self::item::Item; use super::odd; use serde::Serialize;",
        "core/src/cart/item.rs": "use super::super::prices::tax::Rate; use super::Cart; use std::fmt; use fmt::Display; use Kind::*;",
        "core/src/prices/mod.rs": "pub mod tax;",
        "core/src/prices/tax.rs": "",
        "core/src/odd/name.rs": "mod beside;",
        "core/src/odd/beside.rs": "",
        "cli/Cargo.toml": '[package]\nname = "shop"\n[[bin]]\nname = "tool"\npath = "tool/main.rs"',
        "cli/tool/main.rs": "mod flags;",
        "cli/tool/flags.rs": "use crate::other::x; use shop_core::cart;",
        "cli/src/main.rs": "use shop_core::cart::Cart; extern crate clap; mod run;",
        "cli/src/run.rs": "use crate::run; use ::shop_core::Everything;",
        "cli/tests/it.rs": "mod common; use shop_core::prices;",
        "cli/tests/common/mod.rs": "",
    }
    assert pairs(files) == {
        "core/src/lib.rs -> core/src/cart.rs",
        "core/src/lib.rs -> core/src/prices/mod.rs",
        "core/src/lib.rs -> core/src/odd/name.rs",
        "core/src/cart.rs -> core/src/prices/mod.rs",
        "core/src/cart.rs -> core/src/cart/item.rs",
        "core/src/cart.rs -> core/src/lib.rs",
        "core/src/cart/item.rs -> core/src/prices/tax.rs",
        "core/src/cart/item.rs -> core/src/cart.rs",
        "core/src/prices/mod.rs -> core/src/prices/tax.rs",
        "core/src/odd/name.rs -> core/src/odd/beside.rs",
        "cli/src/main.rs -> core/src/cart.rs",
        "cli/src/main.rs -> cli/src/run.rs",
        "cli/src/run.rs -> core/src/lib.rs",
        "cli/tool/main.rs -> cli/tool/flags.rs",
        "cli/tool/flags.rs -> cli/tool/main.rs",
        "cli/tool/flags.rs -> core/src/cart.rs",
        "cli/tests/it.rs -> cli/tests/common/mod.rs",
        "cli/tests/it.rs -> core/src/prices/mod.rs",
    }
    assert external(files) == {"serde": False, "std": True, "clap": False}


def test_java_classes_by_their_packages() -> None:
    files = {
        "a/src/main/java/org/shop/Cart.java": "package org.shop; import org.shop.prices.Total; import java.util.List;",
        "a/src/main/java/org/shop/prices/Total.java": "package org.shop.prices; import static org.shop.Cart.MOST; import org.shop.Cart.Item;",
        "a/src/test/java/org/shop/CartTest.java": "package org.shop; import org.shop.prices.*; import org.junit.jupiter.api.Test;",
    }
    assert pairs(files) == {
        "a/src/main/java/org/shop/Cart.java -> a/src/main/java/org/shop/prices/Total.java",
        "a/src/main/java/org/shop/prices/Total.java -> a/src/main/java/org/shop/Cart.java",
        "a/src/test/java/org/shop/CartTest.java -> a/src/main/java/org/shop/prices/Total.java",
    }
    assert external(files) == {"java.util": True, "org.junit.jupiter": False}


def test_includes_beside_in_include_folders_and_by_the_end_of_the_path() -> None:
    files = {
        "src/a.c": '#include "a.h"\n#include <shop/api.h>\n#include "../lib/z.h"\n#include <stdio.h>\n#include <curl/curl.h>',
        "src/a.h": '#include "missing.h"\n#include "../../outside.h"\n#include "a.h"',
        "include/shop/api.h": '#include "types.h"',
        "include/shop/types.h": "",
        "other/types.h": "",
        "lib/z.h": "#include <vector>\n#include <types.h>",
        "lib/deep/x.cpp": '#include "shop/types.h"',
    }
    assert pairs(files) == {
        "src/a.c -> src/a.h",
        "src/a.c -> include/shop/api.h",
        "src/a.c -> lib/z.h",
        "include/shop/api.h -> include/shop/types.h",
        "lib/deep/x.cpp -> include/shop/types.h",
    }
    assert external(files) == {"stdio.h": True, "curl": False, "missing.h": False, "vector": True, "types.h": False}


HOSTILE = [
    'it\'s "quoted"',
    "two\nlines",
    "<script>",
    "right\u202etfel",
    "..",
    "a::b",
    "*",
    "%s",
    "-" * 200,
    "\U0001f600",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_manifests_are_names_like_others(name: str) -> None:
    files = {
        f"{name}/{name}.{ending}": f"import {name}\nimport '{name}'\n#include \"{name}\"\nuse {name};"
        for ending in ("py", "js", "go", "rs", "java", "c")
    }
    for manifest in MANIFESTS:
        files[f"{name}/{manifest}"] = (
            f'{{"name": ["{name}"], "compilerOptions": {{"paths": {{"*": 3}}}}}}\n[package]\nname = 3'
        )
        files[f"x/{manifest}"] = "[" * 100_000
        files[f"y/{manifest}"] = (
            '{"name": "y", "compilerOptions": {"baseUrl": "../../..", "paths": {"*": ["../../../*", 1]}}}'
        )
    files["y/src/a.ts"] = "import 'q'; import 'y/a'; import '/'; import '.'; import './'; import '..'"
    graph = graph_of(code_base(files, name), [])
    assert sum(graph.nodes.values()) == 10


def test_folders_are_nodes_and_pairs_of_files_their_imports() -> None:
    files = {
        "a/one.py": "import b.two, a.other\nimport numpy",
        "a/other.py": "import b.two\nimport numpy",
        "b/two.py": "import c.three",
        "c/three.py": "import a.one",
        "top.py": "import a.one",
    }
    graph = graph_of(code_base({"pyproject.toml": "", **files}), [])
    assert facts_of(graph) == {
        "nodes": [{"id": ".", "files": 1}, {"id": "a", "files": 2}, {"id": "b", "files": 1}, {"id": "c", "files": 1}],
        "edges": [
            {"from": "a", "to": "b", "imports": 2},
            {"from": ".", "to": "a", "imports": 1},
            {"from": "b", "to": "c", "imports": 1},
            {"from": "c", "to": "a", "imports": 1},
        ],
        "external": [{"name": "numpy", "language": "Python", "standard": False, "imports": 2}],
        "cycles": [["a", "b", "c"]],
    }
    assert graph.inside == 1 and graph.ring(["c", "b", "a"]) == ["a", "b", "c", "a"]


def test_a_code_base_of_many_folders_has_no_more_nodes_than_can_be_seen() -> None:
    files = {f"src/{one:02}/{two}/x.py": "" for one in range(20) for two in range(10)}
    files |= {f"src/19/{two}/y.py": "" for two in range(10)}
    nodes = graph_of(code_base(files), []).nodes
    assert sum(nodes.values()) == len(files) and 40 < len(nodes) <= 60
    assert nodes["src/00"] == 10 and nodes["src/19/0"] == 2, "folders with less in them are folded first"
    kept = graph_of(code_base(files), ["src/00/4"]).nodes
    assert kept["src/00/4"] == 1 and kept["src/00"] == 9
    many = {f"a/b/c/d/{number}/x.py": "" for number in range(500)}
    assert graph_of(code_base(many), [f"a/b/c/d/{number}" for number in range(500)]).nodes == {"a/b/c/d": 500}


def test_cycles_of_a_long_chain_are_found_without_recursion() -> None:
    nodes = {str(number): 1 for number in range(5000)}
    graph = Graph(nodes)
    graph.edges.update((str(number), str((number + 1) % 5000)) for number in range(5000))
    assert [len(group) for group in graph.cycles()] == [5000]
