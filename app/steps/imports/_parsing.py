"""Finds imports with tree-sitter. A file with errors in its syntax still tells most of them.

Trees are walked here rather than queried: a query over a hundred thousand brackets takes minutes, and one that can be
stopped breaks down (tree-sitter 0.26.1).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from itertools import count, islice
from pathlib import Path

from tree_sitter import Language, Node, Parser, Tree, TreeCursor

from app.steps.imports.found import FileImports, Import, parsed_as

MOST_CHARACTERS = 2_000_000
"""Of a file; a longer one is hardly written by hand, and takes seconds and hundreds of megabytes."""
MOST_SECONDS = 10.0
"""For one file. Parsers are quick, but not with every text that somebody could think of."""
MOST_MEMORY = 1 << 30
"""Bytes that the process may use while it parses one, where the system tells."""
MOST_IMPORTS = 2_000
"""Of a file; more are left out."""
_LONGEST = 500
"""Characters of one name."""
_PART = 1 << 16

_JAVASCRIPT = "import_statement export_statement call_expression"
_TYPESCRIPT = f"{_JAVASCRIPT} import_require_clause"
_WANTED = {
    "c": "preproc_include",
    "cpp": "preproc_include",
    "go": "import_spec",
    "java": "package_declaration import_declaration",
    "javascript": _JAVASCRIPT,
    "python": "import_statement import_from_statement future_import_statement",
    "rust": "use_declaration extern_crate_declaration mod_item",
    "tsx": _TYPESCRIPT,
    "typescript": _TYPESCRIPT,
}
"""The kinds of nodes that may be imports."""
_AROUND = {
    "go": "source_file import_declaration import_spec_list ERROR",
    "java": "program ERROR",
    "python": "module block if_statement elif_clause else_clause try_statement except_clause except_group_clause "
    "finally_clause with_statement for_statement while_statement function_definition class_definition "
    "decorated_definition match_statement case_clause ERROR",
}
"""The kinds that may have imports somewhere inside; all of them in the other languages."""
_ENTERED_ALL_THE_SAME = ("call_expression", "export_statement", "import_statement")
"""Imports with imports inside; those of Python have none."""


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
    limits = _Limits()
    tree = _tree(grammar, text.encode("utf-8", "replace"), limits)
    found = (each for each in _imports(grammar, tree, limits) if len(each.target) <= _LONGEST)
    imports = list(dict.fromkeys(islice(found, MOST_IMPORTS)))
    package = next((each.target for each in imports if each.kind == "package"), "")
    return FileImports(language, tuple(each for each in imports if each.kind != "package"), package)


class _Limits:
    """What parsing one file may take."""

    def __init__(self) -> None:
        self._end = time.monotonic() + MOST_SECONDS
        self._calls = 0
        self.exceeded = ""

    def check(self) -> bool:
        """Whether it is to stop; asked often."""
        self._calls += 1
        if time.monotonic() > self._end:
            self.exceeded = f"parsing it took more than {MOST_SECONDS:.0f} seconds"
        elif self._calls % 1000 == 0 and _memory() > MOST_MEMORY:
            self.exceeded = f"parsing it took more than {MOST_MEMORY >> 20:,} MiB of memory"
        return bool(self.exceeded)


def _memory() -> int:
    """Bytes that this process uses; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _tree(grammar: str, source: bytes, limits: _Limits) -> Tree:
    parser = _parser(grammar)
    try:
        # Only what is read in parts can be stopped.
        return parser.parse(lambda at, _: source[at : at + _PART], progress_callback=lambda *_: limits.check())
    except ValueError:
        parser.reset()
        raise NotParsed(limits.exceeded) from None


@lru_cache
def _parser(grammar: str) -> Parser:
    module = import_module("tree_sitter_typescript" if grammar in ("tsx", "typescript") else f"tree_sitter_{grammar}")
    spoken = getattr(module, f"language_{grammar}", None) or module.language
    return Parser(Language(spoken()))


def _imports(grammar: str, tree: Tree, limits: _Limits) -> Iterator[Import]:
    """Walks the tree, from the first node to the last."""
    wanted = frozenset(_WANTED[grammar].split())
    entered = frozenset(_AROUND[grammar].split()) if grammar in _AROUND else None
    cursor = tree.walk()
    modules: list[tuple[int, str]] = []
    attributed = ""
    for steps in count():
        if steps % 1000 == 999 and limits.check():
            raise NotParsed(limits.exceeded)
        node = cursor.node
        assert node
        kind = node.type
        enter = entered is None or kind in entered
        if kind == "preproc_if" and _is_switched_off(node):
            enter = False
            if _go_to_alternative(cursor):
                continue
        if kind in wanted:
            if kind == "mod_item" and node.child_by_field_name("body"):
                modules.append((cursor.depth, _name(node)))
            else:
                yield from _read(grammar, node, tuple(name for _, name in modules), attributed)
                enter = enter and kind in _ENTERED_ALL_THE_SAME
        if grammar == "rust" and node.is_named and "comment" not in kind:
            attributed = _path_attribute(node) or attributed if kind == "attribute_item" else ""
            enter = enter and kind != "attribute_item"
        if enter and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            while modules and cursor.depth <= modules[-1][0]:
                modules.pop()


def _read(grammar: str, node: Node, modules: tuple[str, ...], attributed: str) -> Iterator[Import]:
    match grammar:
        case "python":
            yield from _read_python(node)
        case "rust":
            yield from _read_rust(node, modules, attributed)
        case "java":
            yield from _read_java(node)
        case "c" | "cpp":
            path = node.child_by_field_name("path")
            if path and path.type in ("string_literal", "system_lib_string"):
                yield Import("quoted" if path.type == "string_literal" else "angled", _text(path)[1:-1].strip())
        case "go":
            if path := node.child_by_field_name("path"):
                yield Import("import", _text(path)[1:-1])
        case _:
            source = _required(node) if node.type == "call_expression" else node.child_by_field_name("source")
            fixed = source and all(part.type == "string_fragment" for part in source.named_children)
            if source and fixed and (target := _text(source)[1:-1]):
                yield Import("import", target)


def _required(call: Node) -> Node | None:
    """What a call of `require` or `import` in JavaScript names."""
    function, arguments = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    if function is None or arguments is None or function.type not in ("identifier", "import"):
        return None
    if function.type == "identifier" and _text(function) != "require":
        return None
    first = next(iter(arguments.named_children), None)
    return first if first and first.type in ("string", "template_string") else None


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
    """Its imports, and as if it were one the package it belongs to."""
    kinds = {child.type for child in node.children}
    named = next((child for child in node.named_children if child.type in ("scoped_identifier", "identifier")), None)
    if named is not None:
        ending = ".*" if "asterisk" in kinds else ""
        kind = "package" if node.type == "package_declaration" else "static" if "static" in kinds else "import"
        yield Import(kind, _words(named) + ending)


def _is_switched_off(node: Node) -> bool:
    condition = node.child_by_field_name("condition")
    return condition is not None and _text(condition) == "0"


def _go_to_alternative(cursor: TreeCursor) -> bool:
    """From `#if` to its `#else` or `#elif`, if there is one; else the cursor stays."""
    cursor.goto_first_child()
    while cursor.field_name != "alternative":
        if not cursor.goto_next_sibling():
            cursor.goto_parent()
            return False
    return True


def _read_rust(node: Node, around: tuple[str, ...], attributed: str) -> Iterator[Import]:
    if node.type == "mod_item":
        yield Import("path", attributed, around) if attributed else Import("mod", _name(node), around)
    elif node.type == "extern_crate_declaration":
        yield Import("crate", _name(node), around)
    elif argument := node.child_by_field_name("argument"):
        yield from (Import("use", path, around) for path in _used(argument))


def _name(node: Node) -> str:
    named = node.child_by_field_name("name")
    return _words(named).removeprefix("r#") if named else ""


def _path_attribute(node: Node) -> str:
    """The file that `#[path = "..."]` names."""
    attribute = next(iter(node.named_children), None)
    value = attribute.child_by_field_name("value") if attribute else None
    return _text(value)[1:-1] if attribute and value and _text(attribute.named_children[0]) == "path" else ""


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
