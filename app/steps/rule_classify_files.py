"""rule_classify_files: puts each document into a category by ordered rules on its path, name and content."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.steps.document_facts import with_facts
from app.steps.source_tree import globs, printable
from app.work.step_type import Context, Settings, StepType, WorkItem


class Rule(BaseModel):
    """A document fits when it meets every condition that the rule has."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)
    category: str = Field(min_length=1)
    tags: list[str] = Field(default_factory=list)
    paths: list[str] = Field(default_factory=list)
    """Patterns in the language of .gitignore, one of which fits the path below the folder."""
    names: list[str] = Field(default_factory=list)
    """Patterns such as "test_*.py", one of which fits the file name, in any case."""
    name_regex: str = ""
    """Found somewhere in the file name."""
    content_regex: str = ""
    """Found somewhere in the text; ^ and $ are line ends. A binary file has none."""

    @field_validator("paths")
    @classmethod
    def _are_patterns(cls, patterns: list[str], info: ValidationInfo) -> list[str]:
        try:
            globs(tuple(patterns))
        except ValueError as error:
            raise ValueError(f"rule {info.data.get('name', '')!r}: {error}") from None
        return patterns

    @field_validator("name_regex", "content_regex")
    @classmethod
    def _is_regex(cls, regex: str, info: ValidationInfo) -> str:
        try:
            re.compile(regex, re.MULTILINE)
        except (re.error, RecursionError, OverflowError) as error:
            message = f"rule {info.data.get('name', '')!r}: {regex!r} is not a regular expression ({error})"
            raise ValueError(f"{message}; a character with a meaning of its own is written with \\ before it") from None
        return regex

    @model_validator(mode="after")
    def _has_a_condition(self) -> Rule:
        if not (self.paths or self.names or self.name_regex or self.content_regex):
            conditions = "paths, names, name_regex or content_regex"
            raise ValueError(f"rule {self.name!r} has no condition and would fit everything; give it {conditions}")
        return self


class RuleClassifyFilesSettings(Settings):
    folder: str = ""
    """Only documents of files in this folder; rules see their paths relative to it."""
    filter_tags: list[str] = Field(default_factory=list)
    """Only documents that carry all of these."""
    rules: list[Rule] = Field(min_length=1)
    """In order: the first that fits decides."""
    default_category: str = "other"
    """Of documents that no rule fits."""

    @field_validator("rules")
    @classmethod
    def _have_names_of_their_own(cls, rules: list[Rule]) -> list[Rule]:
        names = [rule.name for rule in rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are named {twice!r}; give each a name of its own")
        return rules


class RuleClassifyFiles(StepType[RuleClassifyFilesSettings]):
    """A regular expression that would search for ever is ended by the work item's timeout."""

    name = "rule_classify_files"
    summary = "Puts each file's document into a category, by ordered rules on path, name and content."
    settings_type = RuleClassifyFilesSettings
    timeout = 30.0

    def plan(self, context: Context[RuleClassifyFilesSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        under = f"file:{Path(settings.folder).resolve()}" if settings.folder else None
        found = context.documents(tags=settings.filter_tags, source_type="file", under=under, bodies=False)
        for document in found:
            path = document.address.removeprefix(under or "file:").lstrip("/")
            yield WorkItem(printable(path), {"address": document.address, "path": path})

    def run(self, context: Context[RuleClassifyFilesSettings], item: WorkItem) -> dict[str, Any]:
        """The category, and the name of the rule that decided; None when no rule fitted or the document is gone."""
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return {"category": None, "rule": None}
        rules = context.settings.rules
        rule = next((rule for rule in rules if _fits(rule, item.input["path"], document.body)), None)
        category = rule.category if rule else context.settings.default_category
        facts = {"category": category, "rule": rule.name if rule else None}
        context.save_document(with_facts(document, self.name, facts, rule.tags if rule else []))
        context.log(f"{item.name}: {category}" + (f" (rule {rule.name})" if rule else " (no rule fits)"))
        return facts


def _fits(rule: Rule, path: str, text: str) -> bool:
    paths, names, name_regex, content_regex = _compiled(
        tuple(rule.paths), tuple(rule.names), rule.name_regex, rule.content_regex
    )
    name = PurePosixPath(path).name
    return (
        (paths is None or paths.match_file(path))
        and (names is None or names.match(name) is not None)
        and (name_regex is None or name_regex.search(name) is not None)
        and (content_regex is None or content_regex.search(text) is not None)
    )


Regex = re.Pattern[str] | None


@lru_cache(maxsize=1024)
def _compiled(
    paths: tuple[str, ...], names: tuple[str, ...], name_regex: str, content_regex: str
) -> tuple[GitIgnoreSpec | None, Regex, Regex, Regex]:
    """A rule's conditions, compiled once per process; None where there is none."""
    return (
        globs(paths) if paths else None,
        re.compile("|".join(map(fnmatch.translate, names)), re.IGNORECASE) if names else None,
        re.compile(name_regex) if name_regex else None,
        re.compile(content_regex, re.MULTILINE) if content_regex else None,
    )
