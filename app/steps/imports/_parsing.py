"""Finds imports with tree-sitter. A file with errors in its syntax still tells most of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module

from tree_sitter import Language, Node, Parser, Query, QueryCursor

from app.steps.imports.found import FileImports, Import, parsed_as

MOST_CHARACTERS = 2_000_000
"""Of a file; a longer one is hardly written by hand, and takes seconds and hundreds of megabytes."""
MOST_SECONDS = 10.0
"""For one file. Parsers are quick, but not with every text that somebody could think of."""
MOST_IMPORTS = 2_000
"""Of a file; more are left out."""
_MOST_LEVELS = 200
"""How far up the tree it is looked what is around an import."""
_LONGEST = 500
"""Characters of one name."""
_PART = 1 << 16

_JAVASCRIPT = """
(import_statement source: (string) @target)
(export_statement source: (string) @target)
(call_expression function: (import) arguments: (arguments . [(string) (template_string)] @target))
(call_expression function: (identifier) @called arguments: (arguments . [(string) (template_string)] @target .)
  (#eq? @called "require"))
"""
_TYPESCRIPT = f"{_JAVASCRIPT}\n(import_require_clause source: (string) @target)"
_INCLUDES = "(preproc_include path: [(string_literal) (system_lib_string)] @target)"
_QUERIES = {
    "c": _INCLUDES,
    "cpp": _INCLUDES,
    "go": "(import_spec path: (_) @target)",
    "java": "(package_declaration [(identifier) (scoped_identifier)] @package) (import_declaration) @target",
    "javascript": _JAVASCRIPT,
    "python": "(import_statement) @target (import_from_statement) @target (future_import_statement) @target",
    "rust": "(use_declaration argument: (_) @target) (extern_crate_declaration) @target (mod_item !body) @target",
    "tsx": _TYPESCRIPT,
    "typescript": _TYPESCRIPT,
}


class NotParsed(Exception):
    """A file that was given up, and why."""


def imports_of(path: str, text: str) -> FileImports:
    """What a file imports that `parsed_as` has a parser for. Says in `problem` why it could not be parsed."""
    known = parsed_as(path)
    assert known
    language, grammar = known
    try:
        return _parsed(language, grammar, text)
    except NotParsed as trouble:
        return FileImports(language, problem=str(trouble))


def _parsed(language: str, grammar: str, text: str) -> FileImports:
    if len(text) > MOST_CHARACTERS:
        raise NotParsed(f"it has {len(text):,} characters, more than {MOST_CHARACTERS:,}")
    captured = _captured(grammar, text.encode("utf-8", "replace"))
    nodes = sorted(captured.get("target", ()), key=lambda node: node.start_byte)[:MOST_IMPORTS]
    found = (each for node in nodes for each in _read(grammar, node))
    within = (each for each in found if len(each.target) <= _LONGEST)
    imports = list(dict.fromkeys(_first(within, MOST_IMPORTS)))
    package = "".join(_text(node) for node in captured.get("package", ())[:1])[:_LONGEST]
    return FileImports(language, tuple(imports), package)


def _first(imports: Iterator[Import], most: int) -> Iterator[Import]:
    for _, each in zip(range(most), imports, strict=False):
        yield each


def _captured(grammar: str, source: bytes) -> dict[str, list[Node]]:
    """The nodes that the query of the grammar finds, by the names it gives them. Raises NotParsed."""
    parser, query = _prepared(grammar)
    end = time.monotonic() + MOST_SECONDS

    def read(offset: int, _: object) -> bytes:
        return source[offset : offset + _PART]

    def late(*_: object) -> bool:
        return time.monotonic() > end

    try:
        tree = parser.parse(read, progress_callback=late)
    except ValueError:
        parser.reset()
        raise NotParsed(f"parsing it took more than {MOST_SECONDS:.0f} seconds") from None
    # Queries take no time to speak of; one that can be stopped, and has a predicate, breaks down in tree-sitter 0.26.1.
    return QueryCursor(query).captures(tree.root_node)


@lru_cache
def _prepared(grammar: str) -> tuple[Parser, Query]:
    module = import_module("tree_sitter_typescript" if grammar in ("tsx", "typescript") else f"tree_sitter_{grammar}")
    spoken = getattr(module, f"language_{grammar}", None) or module.language
    language = Language(spoken())
    return Parser(language), Query(language, _QUERIES[grammar])


def _read(grammar: str, node: Node) -> Iterator[Import]:
    match grammar:
        case "python":
            yield from _read_python(node)
        case "rust":
            yield from _read_rust(node)
        case "java":
            yield from _read_java(node)
        case "c" | "cpp":
            if not _is_switched_off(node):
                yield Import("quoted" if node.type == "string_literal" else "angled", _text(node)[1:-1].strip())
        case "go":
            yield Import("import", _text(node)[1:-1])
        case _:
            inner = node.named_children
            if all(each.type == "string_fragment" for each in inner) and (target := _text(node)[1:-1]):
                yield Import("import", target)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _words(node: Node) -> str:
    """The text of a name, without the white space that may stand in it."""
    return "".join(_text(node).split())


def _read_python(node: Node) -> Iterator[Import]:
    if node.type == "future_import_statement":
        yield Import("from", "__future__", tuple(_words(_real(each)) for each in node.children_by_field_name("name")))
        return
    names = [_words(_real(each)) for each in node.children_by_field_name("name")]
    module = node.child_by_field_name("module_name")
    if module is None:
        yield from (Import("import", name) for name in names)
    elif any(each.type == "wildcard_import" for each in node.children):
        yield Import("from", _words(module), ("*",))
    else:
        yield Import("from", _words(module), tuple(names))


def _real(node: Node) -> Node:
    """What an import means, whatever it is called from then on."""
    return (node.child_by_field_name("name") or node) if node.type == "aliased_import" else node


def _read_java(node: Node) -> Iterator[Import]:
    kinds = {child.type for child in node.children}
    named = next((child for child in node.named_children if child.type in ("scoped_identifier", "identifier")), None)
    if named is not None:
        ending = ".*" if "asterisk" in kinds else ""
        yield Import("static" if "static" in kinds else "import", _words(named) + ending)


def _is_switched_off(node: Node) -> bool:
    """Whether an include stands in `#if 0`."""
    inner = node
    for _ in range(_MOST_LEVELS):
        outer = inner.parent
        if outer is None:
            return False
        condition = outer.child_by_field_name("condition") if outer.type == "preproc_if" else None
        if condition is not None and _text(condition) == "0" and inner != outer.child_by_field_name("alternative"):
            return True
        inner = outer
    return False


def _read_rust(node: Node) -> Iterator[Import]:
    around = _modules_around(node)
    if node.type == "mod_item":
        name = _name(node)
        file = _path_attribute(node)
        yield Import("path", file, around) if file else Import("mod", name, around)
    elif node.type == "extern_crate_declaration":
        yield Import("crate", _name(node), around)
    else:
        yield from (Import("use", path, around) for path in _used(node))


def _name(node: Node) -> str:
    named = node.child_by_field_name("name")
    return _words(named).removeprefix("r#") if named else ""


def _modules_around(node: Node) -> tuple[str, ...]:
    """The inline modules that a declaration stands in, the outermost first."""
    names: list[str] = []
    outer = node.parent
    for _ in range(_MOST_LEVELS):
        if outer is None:
            break
        if outer.type == "mod_item":
            names.append(_name(outer))
        outer = outer.parent
    return tuple(reversed(names))


def _path_attribute(node: Node) -> str:
    """The file that `#[path = "..."]` before a module names."""
    before = node.prev_named_sibling
    while before is not None and before.type in ("attribute_item", "line_comment", "block_comment"):
        attribute = before.named_children[0] if before.type == "attribute_item" and before.named_children else None
        value = attribute.child_by_field_name("value") if attribute else None
        if attribute and value and _text(attribute.named_children[0]) == "path":
            return _text(value)[1:-1]
        before = before.prev_named_sibling
    return ""


def _used(node: Node) -> Iterator[str]:
    """The paths that a tree of uses means: `a::{b, c::*}` is a::b and a::c::*."""
    waiting: list[tuple[str, Node]] = [("", node)]
    while waiting:
        before, node = waiting.pop()
        inner = [child for child in node.named_children if not child.type.endswith("comment")]
        match node.type:
            case "use_list":
                waiting.extend((before, child) for child in reversed(inner))
            case "scoped_use_list":
                path, listed = node.child_by_field_name("path"), node.child_by_field_name("list")
                prefix = _joined(before, path) if path else before
                if listed and len(prefix) <= _LONGEST:
                    waiting.append((prefix, listed))
            case "use_as_clause":
                if path := node.child_by_field_name("path"):
                    waiting.append((before, path))
            case "use_wildcard":
                yield f"{_joined(before, inner[0]) if inner else before}::*"
            case "self" if before:
                yield before
            case _:
                yield _joined(before, node)


def _joined(before: str, node: Node) -> str:
    path = "::".join(part.removeprefix("r#") for part in _words(node).split("::"))
    return f"{before}::{path}" if before else path
