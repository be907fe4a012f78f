"""The definitions and their editor, as the web finds, starts and edits them: what the rooms of work and web say of the
same thing, put together for `main`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.queue.changes import MuchChanged, PageTextSaved
from app.queue.retention import Keep
from app.queue.run_plan import RunPlan
from app.queue.store.start import DefinitionDisabled
from app.queue.writer import Commit
from app.web.access import DefinitionSummary, NoSuchDefinition, NotStartable, ScheduleSummary, TextProblem
from app.web.editor import CheckedText, NotEditable, OpenedText, TextChanged
from app.work import definition_editing
from app.work.definition_editing import Checked, Editing
from app.work.definition_schedule import Schedule
from app.work.definitions import Definition, DefinitionEntry, Definitions, UnknownDefinition
from app.work.page_rules import PageRules
from app.work.problems import ProblemsError, printable
from app.work.registry import StepTypes
from app.work.repeating import against_repeating


class DefinitionCatalog:
    """The definitions of some folders, as the web finds and starts them. `page_texts`: the digests of the definitions
    that the page has written, as the database has them."""

    def __init__(
        self,
        step_types: StepTypes,
        rules: PageRules,
        page_texts: Callable[[], Iterable[str]],
        keep: Keep,
        *folders: Path,
    ) -> None:
        self.keep = keep
        self.files = Definitions(step_types, *folders, rule=rules.of_file)
        self.troubles = step_types.not_loaded
        self.editor: DefinitionEditor | None = None
        self._rules, self._step_types, self._page_texts = rules, step_types, page_texts
        self._missed_something = False

    def definitions(self) -> Sequence[DefinitionSummary]:
        return [_summary(entry, self._rules, self.keep) for entry in self.files.all()]

    def entries(self) -> Sequence[DefinitionEntry]:
        """As the scheduler and bulk actions need them."""
        return self.files.all()

    def plan(self, definition: str, parameters: Mapping[str, Any]) -> RunPlan:
        """`definition`: an id, or the absolute path of a `.toml` file. Raises NoSuchDefinition, NotStartable or
        DefinitionDisabled."""
        try:
            return self._startable(definition).resolve(parameters)
        except UnknownDefinition as error:
            raise NoSuchDefinition(str(error)) from error
        except ProblemsError as error:
            raise NotStartable(_by_key(error)) from error

    def ensure_repeatable(self, plan: RunPlan) -> None:
        """Raises NotStartable if something is against it: what its text may not do now, or what a step cannot."""
        if problems := against_repeating(plan, self._rules, self._step_types):
            raise NotStartable(_by_key(ProblemsError(problems)))

    def hear(self, commit: Commit) -> None:
        """Another server may save through its page what is to be known here before its file is found."""
        for change in commit.changes:
            if isinstance(change, PageTextSaved):
                self._rules.add(change.digest)
            elif isinstance(change, MuchChanged):
                self._missed_something = True
        if self._missed_something:
            for digest in self._page_texts():
                self._rules.add(digest)
            self._missed_something = False  # not if that could not be read: then it is asked for again

    def _startable(self, definition: str) -> Definition:
        is_file = definition.endswith(".toml") and Path(definition).is_absolute()
        found = self.files.load(Path(definition)) if is_file else self.files.get(definition)
        if not found.enabled:
            raise DefinitionDisabled(found.id, f"set `enabled = true` in {printable(str(found.path))}")
        return found


class DefinitionEditor:
    """Editing, as the web knows it."""

    def __init__(self, editing: Editing) -> None:
        self._editing = editing
        self.folder = editing.folder

    def open(self, id: str) -> OpenedText | None:
        with _told_to_the_web():
            return self._editing.open(id)

    def check(self, text: str, id: str | None = None) -> CheckedText:
        return self._editing.check(text, id)

    def ensure_unchanged(self, checked: CheckedText, base: str) -> None:
        assert isinstance(checked, Checked)
        with _told_to_the_web():
            self._editing.ensure_unchanged(checked, base)

    def save(self, checked: CheckedText, text: str, base: str) -> None:
        assert isinstance(checked, Checked)
        with _told_to_the_web():
            self._editing.save(checked, text, base)

    def delete(self, id: str, base: str) -> None:
        with _told_to_the_web():
            self._editing.delete(id, base)


@contextmanager
def _told_to_the_web() -> Iterator[None]:
    try:
        yield
    except definition_editing.NotEditable as error:
        raise NotEditable(str(error)) from error
    except definition_editing.Changed as error:
        raise TextChanged(str(error), error.now, error.base) from error


def _summary(entry: DefinitionEntry, rules: PageRules, keep: Keep) -> DefinitionSummary:
    found = entry.definition
    summary = DefinitionSummary(
        entry.id,
        entry.id,
        "",
        (),
        enabled=False,
        problem="\n".join(map(str, entry.problems)),
        text=entry.text,
        path=str(entry.path),
        bundled=entry.is_bundled,
        problems=tuple(TextProblem(each.line, each.key, each.message) for each in entry.problems),
    )
    if found is None:
        return summary
    return replace(
        summary,
        name=found.name,
        description=found.description,
        tags=found.tags,
        enabled=found.enabled,
        parameters=tuple((each.name, each.type, each.default, each.help) for each in found.parameters),
        concurrency=found.concurrency,
        from_page=rules.wrote(found.text),
        obstacle="\n".join(map(str, found.obstacles())),
        schedule=_schedule_summary(found.schedule),
        priority=found.priority,
        limits=found.limits_told,
        keep=found.keep | keep,
    )


def _schedule_summary(schedule: Schedule | None) -> ScheduleSummary | None:
    if schedule is None:
        return None
    texts = (
        (name, value if isinstance(value, str) else json.dumps(value)) for name, value in schedule.parameters.items()
    )
    return ScheduleSummary(schedule.cron, schedule.missed, tuple(texts))


def _by_key(error: ProblemsError) -> dict[str, str]:
    problems: dict[str, str] = {}
    for problem in error.problems:
        message = f"line {problem.line}: {problem.message}" if problem.line else problem.message
        key = problem.key or "definition"
        problems[key] = f"{problems[key]}; {message}" if key in problems else message
    return problems
