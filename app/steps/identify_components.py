"""identify_components: the parts that a code base is made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from app.steps.code_base_files import code_base_of, imported_files, warn_of_nothing
from app.steps.components import MANIFESTS, Component, components_of, home_of, main_files
from app.steps.document_facts import with_facts
from app.steps.languages import language_of
from app.steps.markdown import escaped
from app.steps.source_tree import printable
from app.work.step_type import Context, Document, Settings, StepType, WorkItem

SOURCE_TYPE = "component"
_MOST_LISTED = 200
"""Files in the body of a document."""
_NO_CODE = (
    "Other",
    "Markdown",
    "Text",
    "JSON",
    "YAML",
    "TOML",
    "INI",
    "XML",
    "CSV",
    "SVG",
    "reStructuredText",
    "Ignore list",
)


class IdentifyComponentsSettings(Settings):
    folder: str
    """A folder whose files import_files has imported."""
    tags: list[str] = Field(default_factory=list)


class IdentifyComponents(StepType[IdentifyComponentsSettings]):
    """Each file belongs to the innermost component around it, and to no other; so their numbers add up."""

    name = "identify_components"
    summary = "Finds the packages, applications, libraries, tests and documentation that a code base is made of."
    settings_type = IdentifyComponentsSettings
    timeout = 300.0

    def plan(self, context: Context[IdentifyComponentsSettings]) -> Iterator[WorkItem]:
        folder = code_base_of(context.settings.folder)
        categories: dict[str, str] = {}
        texts: dict[str, str] = {}
        for file in imported_files(context, folder):
            categories[file.path] = file.category
            if file.path.rpartition("/")[2] in MANIFESTS and (stored := context.document(file.document.address)):
                texts[file.path] = stored.body
        if not categories:
            warn_of_nothing(context, folder)
        found = components_of(categories, texts, folder.rpartition("/")[2] or "/")
        files = _files_of(categories, found)
        found = [each for each in found if each.path in files]
        for each in found:
            yield _work_item(folder, each, files[each.path])
        outside = len(categories) - sum(map(len, files.values()))
        if outside:
            context.log(f"{outside:,} of {len(categories):,} files belong to no component")
        _remove_gone(context, folder, {_address(folder, each.path) for each in found})

    def run(self, context: Context[IdentifyComponentsSettings], item: WorkItem) -> dict[str, Any]:
        """The facts of the component, as they are in its document."""
        folder, path = item.input["folder"], item.input["path"]
        lines, languages, missing = _counted(context, folder, item.input["files"])
        files = [each for each in item.input["files"] if each not in missing]
        facts = {
            "name": item.input["name"],
            "path": path or ".",
            "kind": item.input["kind"],
            "language": _main_language(languages),
            "languages": dict(sorted(languages.items(), key=lambda entry: (-entry[1], entry[0]))),
            "files": len(files),
            "lines": lines,
            "entry_points": item.input["entry_points"],
            "manifests": item.input["manifests"],
        }
        _save(context, _address(folder, path), facts, files)
        context.log(f"{item.name}: {facts['kind']}, {len(files):,} files, {lines:,} lines, {facts['language']}")
        return facts


def _files_of(paths: Any, components: list[Component]) -> dict[str, list[str]]:
    """The files of each component that has any."""
    places = {each.path for each in components}
    files: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        home = home_of(path, places)
        if home is not None:
            files[home].append(path)
    return dict(files)


def _work_item(folder: str, each: Component, files: list[str]) -> WorkItem:
    given = {
        "folder": folder,
        "path": each.path,
        "kind": each.kind,
        "name": each.name,
        "entry_points": list(dict.fromkeys([*each.entry_points, *main_files(files)])),
        "manifests": list(each.manifests),
        "files": files,
    }
    return WorkItem(f"{each.kind} {printable(each.path or '.')}", given)


def _counted(context: Context[Any], folder: str, files: list[str]) -> tuple[int, Counter[str], set[str]]:
    """The lines in all, those in each language, and the files that are gone."""
    total = 0
    languages: Counter[str] = Counter()
    missing: set[str] = set()
    for path in files:
        document = context.document(f"file:{folder}/{path}")
        if document is None:
            missing.add(path)
            continue
        lines = len(document.body.splitlines())
        total += lines
        languages[language_of(path, document.body[:200].encode("utf-8", "replace"))] += lines
    return total, languages, missing


def _main_language(languages: Counter[str]) -> str:
    """The one with the most lines, a programming language if there is one."""
    ranked = sorted(languages, key=lambda name: (name in _NO_CODE, -languages[name], name))
    return ranked[0] if ranked else "Other"


def _save(context: Context[IdentifyComponentsSettings], address: str, facts: dict[str, Any], files: list[str]) -> None:
    stored = context.document(address)
    document = Document(
        address=address,
        title=f"{facts['name']} ({facts['kind']})",
        body=_report(facts, files),
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
    )
    context.save_document(with_facts(document, IdentifyComponents.name, facts, context.settings.tags))


def _report(facts: dict[str, Any], files: list[str]) -> str:
    kind = f"{'An' if facts['kind'][0] in 'aeiou' else 'A'} {facts['kind']}"
    if facts["kind"] in ("tests", "docs"):
        kind = facts["kind"].capitalize()
    lines = [
        f"# {escaped(facts['name'])}",
        "",
        f"{kind} in {escaped(facts['path'])}: {facts['files']:,} files, {facts['lines']:,} lines, "
        f"mainly {escaped(facts['language'])}.",
    ]
    lists = (
        ("Entry points", facts["entry_points"]),
        ("Manifests", facts["manifests"]),
        ("Languages", [f"{name}: {number:,} lines" for name, number in facts["languages"].items()]),
        ("Files", files),
    )
    for heading, entries in lists:
        if entries:
            lines += ["", f"## {heading}", "", *(f"- {escaped(entry)}" for entry in entries[:_MOST_LISTED])]
        if len(entries) > _MOST_LISTED:
            lines.append(f"- and {len(entries) - _MOST_LISTED:,} more")
    return "\n".join(lines)


def _remove_gone(context: Context[Any], folder: str, present: set[str]) -> None:
    for document in context.documents(source_type=SOURCE_TYPE, under=f"{SOURCE_TYPE}:{folder}", bodies=False):
        if document.address not in present:
            context.delete_document(document.address)


def _address(folder: str, path: str) -> str:
    return f"{SOURCE_TYPE}:{folder}/{path}" if path else f"{SOURCE_TYPE}:{folder}"
