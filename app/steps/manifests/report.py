"""What a manifest says, in Markdown."""

from __future__ import annotations

from app.steps.manifests.build_info import MOST, BuildInfo
from app.steps.markdown import escaped, table


def report(path: str, info: BuildInfo) -> str:
    facts = {
        "Name": info.name,
        "Version": info.version,
        "Language": " ".join(each for each in (info.language, info.language_version) if each),
        "Build tool": info.build_tool,
        "Base images": ", ".join(info.base_images[:MOST]),
        "Ports": ", ".join(info.ports[:MOST]),
        "Built together with": ", ".join(info.parts[:MOST]),
    }
    lists = {
        "Dependencies": table(
            ("name", "version", "for", "group"),
            [(each.name, each.constraint or "any", each.scope, each.group) for each in info.dependencies],
            MOST,
        ),
        "Scripts and targets": table(("name", "what it does"), list(info.commands.items()), MOST),
        "Entry points": table(("name", "begins at"), list(info.entry_points.items()), MOST),
    }
    parts = [
        f"# {escaped(path)}",
        escaped(info.description),
        "\n".join(f"- {key}: {escaped(fact)}" for key, fact in facts.items() if fact),
        *(f"## {heading}\n\n{text}" for heading, text in lists.items() if text != "None."),
    ]
    return "\n\n".join(part for part in parts if part)


def report_of_fault(path: str, line: int | None, reason: str) -> str:
    where = "It" if line is None else f"Line {line}: it"
    return f"# {escaped(path)}\n\n{where} could not be read: {escaped(reason)}"
