"""pom.xml. Entities are refused: no pom needs them, and a few of them can make a text without end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from app.steps.manifests.build_info import LONGEST, BuildInfo, Dependency, ManifestError

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_RELEASES = ("maven.compiler.release", "java.version", "maven.compiler.source")


def read_pom(text: str) -> BuildInfo:
    project = _root(text)
    inherited = _child(project, "parent")
    group = _text(project, "groupId") or _text(inherited, "groupId")
    version = _text(project, "version") or _text(inherited, "version")
    properties = {_name(each): (each.text or "").strip() for each in _children(_child(project, "properties"))}
    properties |= {"project.version": version, "project.groupId": group, "project.parent.version": version}
    name = ":".join(each for each in (group, _text(project, "artifactId")) if each)
    info = BuildInfo(
        build_tool="Maven",
        language="Kotlin" if "kotlin.version" in properties else "Java",
        name=_filled(name, properties),
        version=_filled(version, properties),
        description=" ".join((_text(project, "description") or _text(project, "name")).split()),
        language_version=_filled(next((properties[key] for key in _RELEASES if key in properties), ""), properties),
        parts=[(each.text or "").strip() for each in _children(_child(project, "modules"))],
    )
    info.dependencies += _all_dependencies(project, properties, "")
    for profile in _children(_child(project, "profiles")):
        info.dependencies += _all_dependencies(profile, properties, _text(profile, "id"))
    if inherited is not None:
        info.dependencies.append(_dependency(inherited, properties, "parent", ""))
    return info


def _root(text: str) -> Any:
    from lxml import etree  # type: ignore[import-untyped]

    at = text.find("<!ENTITY")
    if at >= 0:
        raise ManifestError("declares an entity, which is refused; write the text itself", text.count("\n", 0, at) + 1)
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        project = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        raise ManifestError(f"is not XML: {str(error.msg).partition(', line')[0]}", error.lineno) from None
    if _name(project) != "project":
        raise ManifestError(f"begins with <{_name(project)}>, where a pom has <project>", project.sourceline)
    return project


def _all_dependencies(place: Any, properties: dict[str, str], group: str) -> Iterator[Dependency]:
    for each in _children(_child(place, "dependencies")):
        scope = _text(each, "scope") or "run"
        optional = _text(each, "optional") == "true"
        yield _dependency(each, properties, "optional" if optional else _SCOPES.get(scope, scope), group)
    for each in _children(_child(_child(place, "dependencyManagement"), "dependencies")):
        yield _dependency(each, properties, "managed", group)
    for each in _children(_child(_child(place, "build"), "plugins")):
        yield _dependency(each, properties, "build", group)


_SCOPES = {"compile": "run", "runtime": "run"}


def _dependency(element: Any, properties: dict[str, str], scope: str, group: str) -> Dependency:
    name = ":".join(each for each in (_text(element, "groupId"), _text(element, "artifactId")) if each)
    if not _text(element, "artifactId"):
        raise ManifestError(f"<{_name(element)}> has no <artifactId>", element.sourceline)
    return Dependency(_filled(name, properties), _filled(_text(element, "version"), properties), scope, group)


def _filled(text: str, properties: dict[str, str]) -> str:
    """With ${...} replaced as far as the pom itself says by what. Properties that name each other end it."""
    for _ in range(5):
        filled = _PLACEHOLDER.sub(lambda found: properties.get(found[1], found[0])[:LONGEST], text)[:LONGEST]
        if filled == text:
            break
        text = filled
    return text


def _children(element: Any) -> list[Any]:
    return [] if element is None else [child for child in element if isinstance(child.tag, str)]


def _child(element: Any, name: str) -> Any:
    return next((child for child in _children(element) if _name(child) == name), None)


def _text(element: Any, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else (child.text or "").strip()


def _name(element: Any) -> str:
    """Without its namespace: older poms have none."""
    return str(element.tag).rpartition("}")[2]
