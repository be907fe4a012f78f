"""What the parsers find, and what they are not taken in by."""

from __future__ import annotations

import time

import pytest

from app.steps.imports import _parsing
from app.steps.imports._parsing import imports_of
from app.steps.imports.found import FileImports, Import, parsed_as


def found(path: str, text: str) -> list[tuple[str, ...]]:
    """Kind, target and names of each import."""
    imports = imports_of(path, text)
    assert not imports.problem
    return [(each.kind, each.target, *each.names) for each in imports.imports]


def targets(path: str, text: str) -> list[str]:
    return [target for _, target, *_ in found(path, text)]


def test_python_imports_wherever_they_stand_and_nothing_that_only_looks_like_one() -> None:
    source = '''
"""import nothing1"""
from __future__ import annotations
import a.b as c, d  # import nothing2
from .. import up
from .x import (
    one as first,  # from nothing3 import z
    two,
)
from . y import *
if TYPE_CHECKING:
    from typed import Only
try:
    import fast
except ImportError:
    fast = None; import slow
def late():
    with open("from nothing4 import z"):
        import lazy
    match lazy:
        case 1: import matched
class C:
    import inner
text = """
import nothing5
"""
x = = 1
import after
'''
    assert found("a.py", source)[:12] == [
        ("from", "__future__", "annotations"),
        ("import", "a.b"),
        ("import", "d"),
        ("from", "..", "up"),
        ("from", ".x", "one", "two"),
        ("from", ".y", "*"),
        ("from", "typed", "Only"),
        ("import", "fast"),
        ("import", "slow"),
        ("import", "lazy"),
        ("import", "matched"),
        ("import", "inner"),
    ]
    assert "after" in targets("a.py", source)


JAVASCRIPT = """
// import x from 'nothing1'
/* require('nothing2') */
import a, { b as c } from 'a';
import * as
  everything
  from "b";
import 'side-effect';
export { q } from './q';
export * from '../r.js';
export const own = 1;
const fs = require('fs'), d = require("d/e");
if (x) { import('./lazy').then(() => require(`tick`)); }
import(variable); require('a' + 'b'); require(`./${name}`); other.require('nothing3'); required('nothing4');
const text = "import z from 'nothing5'", template = `import y from 'nothing6'`;
const view = <div title="import w from 'nothing7'">{require('./in-markup')}</div>;
"""


def test_javascript_imports_requires_and_what_is_exported_from_elsewhere() -> None:
    expected = ["a", "b", "side-effect", "./q", "../r.js", "fs", "d/e", "./lazy", "tick", "./in-markup"]
    assert targets("a.js", JAVASCRIPT) == expected
    assert targets("a.tsx", JAVASCRIPT) == expected


def test_typescript_imports_of_types_and_its_own_kinds() -> None:
    source = """
import type { A } from './a';
import { type B, c } from './b';
export type { D } from './d';
import old = require('./old');
import alias = Some.Namespace;
type T = import('./t').X;
declare module 'declared' { import { inner } from './inner'; }
const same = <T,>(x: T) => x;
"""
    assert targets("a.ts", source) == ["./a", "./b", "./d", "./old", "./t", "./inner"]


def test_go_imports_alone_in_groups_and_under_other_names() -> None:
    source = """
package main
// import "nothing1"
import "fmt"
import (
	f "example.org/a/b"
	. "example.org/dot" // "nothing2"
	_ `example.org/raw`
)
var text = `import "nothing3"`
func main() {}
"""
    assert targets("a.go", source) == ["fmt", "example.org/a/b", "example.org/dot", "example.org/raw"]


def test_rust_uses_modules_and_crates() -> None:
    source = """
#![allow(unused)]
// use nothing1::a;
#[cfg(test)]
#[path = "other.rs"]
// between
pub(crate) mod moved;
mod plain;
extern crate serde as s;
use a::{b, c::{self, d as e}, f::*};
pub use crate::m::N as O;
mod inline {
    use super::q;
    mod deep { use r#type::x; }
}
fn late() { use ::std::fmt; let text = "use nothing2::x;"; macro_call!(use nothing3::y); }
"""
    assert found("a.rs", source) == [
        ("path", "other.rs"),
        ("mod", "plain"),
        ("crate", "serde"),
        *(("use", path) for path in ("a::b", "a::c", "a::c::d", "a::f::*", "crate::m::N")),
        ("use", "super::q", "inline"),
        ("use", "type::x", "inline", "deep"),
        ("use", "::std::fmt"),
    ]


def test_java_imports_and_the_package() -> None:
    source = """
/* package nothing; */
package org.example
    .shop;
import java.util.*; // import nothing.A;
import static org.junit.Assert.assertEquals;
import static a.B.*;
import c.D;
class A { String text = "import nothing.B;"; }
"""
    assert found("A.java", source) == [
        ("import", "java.util.*"),
        ("static", "org.junit.Assert.assertEquals"),
        ("static", "a.B.*"),
        ("import", "c.D"),
    ]
    assert imports_of("A.java", source).package == "org.example.shop"


@pytest.mark.parametrize("path", ["a.c", "a.cpp", "a.h"])
def test_includes_but_not_those_that_are_switched_off(path: str) -> None:
    source = """
#ifndef A_H
#define A_H
// #include "nothing1.h"
/* #include "nothing2.h" */
#include <stdio.h>
#  include "own.h"
#include MACRO
#if 0
#include "nothing3.h"
#else
#include "instead.h"
#endif
#if 0
#include "nothing4.h"
#endif
#ifdef WINDOWS
#include <windows.h>
#elif defined(OTHER)
#include "other.h"
#endif
const char *text = "#include \\"nothing5.h\\"";
#endif
"""
    assert found(path, source) == [
        ("angled", "stdio.h"),
        ("quoted", "own.h"),
        ("quoted", "instead.h"),
        ("angled", "windows.h"),
        ("quoted", "other.h"),
    ]


def test_each_import_is_told_once() -> None:
    assert targets("a.py", "import a\nimport b\nimport a\n") == ["a", "b"]


@pytest.mark.parametrize("ending", ["py", "js", "ts", "tsx", "go", "rs", "java", "c", "cpp"])
@pytest.mark.parametrize(
    "text", ["", "\0\0", "\ufeff", "((((", "}}}}", "use", "import", "\ud800", "#include", "import \n" * 50]
)
def test_whatever_a_file_holds_it_is_read(ending: str, text: str) -> None:
    assert not imports_of(f"a.{ending}", text).problem


def test_a_minified_file_of_a_megabyte_is_read() -> None:
    text = "!function(e,t){e.exports=require('inside');var n=\"import x from 'nothing'\"}(this,[]);" * 13_000
    assert len(text) > 1_000_000
    assert targets("a.min.js", text) == ["inside"]


def test_a_file_that_is_too_large_or_takes_too_long_is_given_up_saying_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert imports_of("a.py", "#" * 2_000_001).problem == "it has 2,000,001 characters, more than 2,000,000"
    now = iter(range(10**9))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    for text in ("(" * 20_000, "x = 1\n" * 20_000):
        given_up = imports_of("a.py", text)
        assert given_up.problem == "parsing it took more than 10 seconds" and not given_up.imports
    monkeypatch.undo()
    assert targets("a.py", "import a") == ["a"], "the parser is not the worse for it"


def test_a_file_that_takes_too_much_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_parsing, "MOST_MEMORY", 1)
    assert imports_of("a.py", "x = 1\n" * 100_000).problem.endswith("of memory")


def test_imports_of_generated_files_are_bounded() -> None:
    assert len(found("a.py", "".join(f"import m{number}\n" for number in range(3000)))) == 2000
    assert found("a.rs", f"use {'a::{' * 400}b{'}' * 400};") == []


def test_what_is_kept_is_what_was_found_until_the_content_changes() -> None:
    imports = FileImports("Rust", (Import("use", "a::b", ("inner",)), Import("mod", "c")))
    assert FileImports.kept(imports.facts("hash"), "hash") == imports
    assert FileImports.kept(imports.facts("hash"), "another") is None
    assert FileImports.kept({**imports.facts("hash"), "version": 0}, "hash") is None
    assert FileImports.kept(None, "hash") is None


def test_there_is_a_parser_for_each_language_and_none_for_others() -> None:
    assert parsed_as("a/B.PYI") == ("Python", "python") and parsed_as("a.tsx") == ("TypeScript", "tsx")
    assert parsed_as("a.txt") is None and parsed_as("py") is None
