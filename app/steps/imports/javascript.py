"""What imports of JavaScript and TypeScript mean."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from app.steps.imports.code_base import CodeBase, Meant, around, below
from app.steps.imports.found import FileImports, Import

_ENDINGS = ("ts", "tsx", "d.ts", "mts", "cts", "js", "jsx", "mjs", "cjs", "json", "vue", "svelte")
_WRITTEN_AS = {".js": (".ts", ".tsx", ".d.ts"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
"""TypeScript files are imported by the names of what is made of them."""
_NODE_MODULES = (
    "assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain "
    "events fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl "
    "stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib "
)
_OF_NODE = frozenset(_NODE_MODULES.split())
_NO_CODE = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')


class JavaScript:
    def __init__(self, base: CodeBase) -> None:
        self._base = base
        self._packages: dict[str, tuple[str, dict[str, Any]]] = {}
        for directory, text in sorted(base.manifests_named("package.json").items()):
            manifest = lenient_json(text)
            if isinstance(name := manifest.get("name"), str) and name:
                self._packages.setdefault(name, (directory, manifest))
        configurations = base.manifests_named("tsconfig.json", "jsconfig.json")
        self._options = {directory: _options(lenient_json(text)) for directory, text in configurations.items()}

    def resolve(self, path: str, _: FileImports, each: Import) -> list[Meant]:
        target = each.target.partition("?")[0].partition("!")[0] or each.target
        directory = path.rpartition("/")[0]
        if target.startswith((".", "/")):
            found = (
                self._file(below(directory, target)) if target.startswith(".") else self._file(below("", target[1:]))
            )
            return [Meant((found,))] if found else []
        if found := self._by_alias(directory, target) or self._in_workspace(target):
            return [Meant((found,))]
        if "://" in target:
            parts = urlsplit(target) if target.isprintable() else None
            return [Meant(external=f"{parts.scheme}://{parts.netloc}")] if parts else []
        if target.startswith(("#", "~", "@/")):
            return []  # a name of the project's own, that only its tools know
        depth = 2 if target.startswith("@") else 1
        name = "/".join(target.split("/")[:depth])
        standard = name.startswith("node:") or name in _OF_NODE
        return [Meant(external=name.removeprefix("node:"), standard=standard)]

    def _file(self, place: str) -> str | None:
        """The file that a path without an ending, or of a directory, means."""
        stem, dot, ending = place.rpartition(".")
        written = [f"{stem}{other}" for other in _WRITTEN_AS.get(f"{dot}{ending}", ())] if stem else []
        inside = f"{place}/index" if place else "index"
        candidates = [place, *written, *(f"{place}.{each}" for each in _ENDINGS), *(f"{inside}.{e}" for e in _ENDINGS)]
        return self._base.first(candidates) if place or ("" in self._base.directories) else None

    def _in_workspace(self, target: str) -> str | None:
        """What a name means that is a package of the code base."""
        parts = target.split("/")
        for number in (2, 1) if target.startswith("@") else (1,):
            known = self._packages.get("/".join(parts[:number]))
            if known is None or len(parts) < number:
                continue
            directory, manifest = known
            rest = "/".join(parts[number:])
            places = [rest, f"src/{rest}"] if rest else [*_mains(manifest), "src/index", "index", "lib/index"]
            found = (self._file(below(directory, place)) for place in places)
            manifest_path = f"{directory}/package.json".lstrip("/")
            return next((file for file in found if file), manifest_path)
        return None

    def _by_alias(self, directory: str, target: str) -> str | None:
        """What a name means by the `paths` or the `baseUrl` of the nearest tsconfig.json."""
        at = next((each for each in (directory, *around(directory)) if each in self._options), None)
        if at is None:
            return None
        base, paths = self._options[at]
        for pattern, places in paths.items():
            before, star, after = pattern.partition("*")
            if not star and pattern != target:
                continue
            if star and not (target.startswith(before) and target.endswith(after)):
                continue
            middle = target[len(before) : len(target) - len(after)] if star else ""
            for place in places:
                if found := self._file(below(below(at, base or ".") or at, place.replace("*", middle, 1))):
                    return found
        return self._file(below(below(at, base) or at, target)) if base else None


def lenient_json(text: str) -> dict[str, Any]:
    """JSON that may have comments and commas too many, as in tsconfig.json; empty when it is no object."""
    without = _LAST_COMMA.sub(_keep_texts, _NO_CODE.sub(_keep_texts, text))
    try:
        read = json.loads(without)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _keep_texts(found: re.Match[str]) -> str:
    return found[1] or ""


def _options(configuration: dict[str, Any]) -> tuple[str, dict[str, list[str]]]:
    options = configuration.get("compilerOptions")
    options = options if isinstance(options, dict) else {}
    base, paths = options.get("baseUrl"), options.get("paths")
    paths = paths if isinstance(paths, dict) else {}
    named = {
        pattern: [each for each in places if isinstance(each, str)]
        for pattern, places in paths.items()
        if isinstance(places, list)
    }
    return base if isinstance(base, str) else "", named


def _mains(manifest: dict[str, Any]) -> list[str]:
    """What a package says is its beginning, its sources first."""
    named = [manifest.get(key) for key in ("source", "types", "module", "main")]
    return [name for name in named if isinstance(name, str) and name]
