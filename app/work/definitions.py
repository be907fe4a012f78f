"""Definitions: TOML files that say which steps a run has, checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.queue.limits import UNLIMITED, Limits
from app.queue.retention import NO_LIMIT, Keep
from app.queue.run_plan import Retry, RunPlan, StepPlan, Tolerance
from app.queue.ticks import Cron
from app.work.definition_checks import Fault, definition_faults, dependencies, settings_faults
from app.work.definition_files import DefinitionFile, dotted, read_text
from app.work.definition_schedule import Schedule
from app.work.definition_tables import DefinitionTable, StepTable
from app.work.obstacles import certain_obstacles, obstacles
from app.work.parameters import Parameter, fill, placeholders, settle
from app.work.problems import DefinitionError, ParameterError, Problem, did_you_mean, printable
from app.work.registry import AnyStepType, StepTypes

BUNDLED = Path(__file__).parent.parent / "definitions"
"""The folder of the definitions that come with Stepglass."""


Rule = Callable[[DefinitionFile], list[Fault]]
"""What else there may be against a definition, besides what is wrong with it."""


def no_rule(_file: DefinitionFile) -> list[Fault]:
    return []


@dataclass(frozen=True)
class Definition:
    """A definition without faults. Its steps' settings still have their placeholders."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    enabled: bool
    """Whether it may be started; `resolve` leaves that to who starts it."""
    concurrency: int
    timeout: float | None
    """Seconds that a whole run may take."""
    tolerance: Tolerance
    parameters: tuple[Parameter, ...]
    steps: tuple[StepPlan, ...]
    path: Path
    text: str = field(repr=False)
    step_types: StepTypes = field(repr=False, compare=False)
    priority: int = 0
    limits: Limits = UNLIMITED
    schedule: Schedule | None = None
    keep: Keep = NO_LIMIT
    """How long its runs are kept, as far as the definition says so."""

    def resolve(self, parameters: Mapping[str, Any]) -> RunPlan:
        """The plan of a run with these parameters, its settings checked by their step types.

        Values may be texts, as a command line has them: "5" for an integer. Raises ParameterError with everything that
        is unknown, missing, wrongly typed or refused by a step type, or that keeps a step from running here.
        """
        values = settle(self.parameters, parameters)
        steps = tuple(replace(step, settings=fill(step.settings, values)) for step in self.steps)
        problems = [problem for step in steps for problem in self._refused(step)]
        problems = problems or list(obstacles(steps, self.step_types))
        if problems:
            raise ParameterError(problems)
        return RunPlan(
            definition=self.id,
            name=self.name,
            steps=steps,
            tags=self.tags,
            parameters=values,
            tolerance=self.tolerance,
            timeout=self.timeout,
            priority=self.priority,
            limits=self.limits,
            concurrency=self.concurrency,
            text=self.text,
        )

    @property
    def limits_told(self) -> tuple[str, ...]:
        """For people: what is limited, and how."""
        limited = [("all its runs", self.limits), *((f"step {step.name}", step.limits) for step in self.steps)]
        return tuple(f"{what}: {limits.words}" for what, limits in limited if limits.words)

    def obstacles(self) -> list[Problem]:
        """What keeps it from running here, whatever the parameters. It is another answer at another time: what is
        missing may be a key in the environment."""
        return list(certain_obstacles(self.steps, self.parameters, self.step_types))

    def _refused(self, filled: StepPlan) -> Iterator[Problem]:
        """What the step type has against the values that the parameters brought in."""
        written = next(step.settings for step in self.steps if step.name == filled.name)
        for key, message in settings_faults(self.step_types[filled.type], filled.settings):
            setting = dotted(("step", filled.name, *key))
            brought_in = sorted(set(placeholders(written.get(str(key[0])) if key else written)))
            yield Problem(None, None, ", ".join(brought_in) or setting, f"{message} (it becomes {setting})")


@dataclass(frozen=True)
class DefinitionEntry:
    """A file among the definitions: a definition, or what keeps it from being one."""

    id: str
    """As the file has it; the file's own name when that cannot be read."""
    path: Path
    definition: Definition | None = None
    problems: tuple[Problem, ...] = ()
    text: str = field(default="", repr=False)
    """Of the file, whatever it says; empty when it cannot be read."""

    @property
    def valid(self) -> bool:
        return self.definition is not None

    @property
    def is_bundled(self) -> bool:
        return self.path.parent == BUNDLED


class UnknownDefinition(LookupError):
    """No definition has this id. Its text names the id and the nearest one."""


class Definitions:
    """The definitions in some folders, read again whenever a file has changed."""

    def __init__(self, step_types: StepTypes, *folders: Path, rule: Rule = no_rule) -> None:
        """An id that occurs twice belongs to the earlier folder; the later file is invalid, or if it is a bundled one
        not there at all."""
        self._step_types = step_types
        self._folders = folders
        self._rule = rule
        self._read: dict[Path, tuple[object, DefinitionEntry]] = {}

    def all(self) -> list[DefinitionEntry]:
        """Every `*.toml` of the folders, valid or not, in the order of the folders and the file names."""
        entries: list[DefinitionEntry] = []
        owners: dict[str, Path] = {}
        named: set[str] = set()
        for entry in (entry for folder in self._folders for entry in self._entries_in(folder)):
            if entry.is_bundled and entry.id in named:
                continue  # a definition of one's own has taken its place
            named.add(entry.id)
            if entry.valid and owners.setdefault(entry.id, entry.path) != entry.path:
                entry = _duplicate(entry, owners[entry.id])
            entries.append(entry)
        return entries

    def get(self, id: str) -> Definition:
        """Raises UnknownDefinition, or DefinitionError when the file of that id is not valid."""
        entries = self.all()
        named = sorted((entry for entry in entries if entry.id == id), key=lambda entry: not entry.valid)
        if not named:
            way_out = did_you_mean(id, {entry.id for entry in entries})
            raise UnknownDefinition(f"no definition is called {id!r}; {way_out}")
        if named[0].definition is None:
            raise DefinitionError(named[0].problems)
        return named[0].definition

    def load(self, path: Path) -> Definition:
        """The definition in a file that may be anywhere. Raises DefinitionError."""
        return load_definition(path, self._step_types, self._rule)

    def state(self) -> object:
        """Changes whenever a file is added, changed or removed."""
        return [(path, _state(path)) for folder in self._folders for path in _files_in(folder)]

    def _entries_in(self, folder: Path) -> list[DefinitionEntry]:
        try:
            paths = _toml_files(folder)
        except OSError as error:
            message = f"is not a folder of definitions that can be read ({error.strerror})"
            return [DefinitionEntry(folder.name, folder, problems=(Problem(folder, None, "", message),))]
        return [self._entry(path) for path in paths]

    def _entry(self, path: Path) -> DefinitionEntry:
        state = _state(path)
        known = self._read.get(path)
        if known is None or known[0] != state:
            known = self._read[path] = (state, read_entry(path, self._step_types, self._rule))
        return known[1]


def load_definition(path: Path, step_types: StepTypes, rule: Rule = no_rule) -> Definition:
    """Reads one definition. Raises DefinitionError with all of its problems, in the order of their lines."""
    return _definition(DefinitionFile.read(path), step_types, rule)


def read_entry(path: Path, step_types: StepTypes, rule: Rule = no_rule) -> DefinitionEntry:
    """Reads one definition, whatever state it is in."""
    try:
        text = read_text(path)
    except DefinitionError as error:
        return DefinitionEntry(printable(path.stem), path, problems=tuple(error.problems))
    return entry_of(path, text, step_types, rule)


def entry_of(path: Path, text: str, step_types: StepTypes, rule: Rule = no_rule) -> DefinitionEntry:
    """The definition that the file would be with that text, whatever state it is in."""
    id = printable(path.stem)
    try:
        file = DefinitionFile.of_text(path, text)
        id = str(file.table.get("id", id))
        return DefinitionEntry(id, path, _definition(file, step_types, rule), text=text)
    except DefinitionError as error:
        return DefinitionEntry(id, path, problems=tuple(error.problems), text=text)


def _definition(file: DefinitionFile, step_types: StepTypes, rule: Rule) -> Definition:
    faults = definition_faults(file.table, step_types) + rule(file)
    problems = [file.problem(key, message) for key, message in faults]
    if problems:
        raise DefinitionError(sorted(problems, key=lambda problem: problem.line or 0))
    table = DefinitionTable.model_validate(file.table)
    return Definition(
        id=table.id,
        name=table.name or table.id,
        description=table.description,
        tags=tuple(table.tags),
        enabled=table.enabled,
        concurrency=table.concurrency,
        timeout=table.timeout,
        tolerance=Tolerance(table.error_tolerance.max_child_failures, table.error_tolerance.failure_action),
        parameters=tuple(_parameters(table)),
        steps=tuple(_steps(table, dependencies(file.table["step"]), step_types)),
        path=file.path,
        text=file.text,
        step_types=step_types,
        priority=table.priority,
        limits=table.limits.limits,
        schedule=_schedule(table),
        keep=Keep(table.retention.days, table.retention.runs),
    )


def _schedule(table: DefinitionTable) -> Schedule | None:
    if (written := table.schedule) is None:
        return None
    return Schedule(Cron(written.cron, written.time_zone), written.missed, written.parameters)


def _parameters(table: DefinitionTable) -> Iterator[Parameter]:
    for name, declared in table.parameters.items():
        parameter = Parameter(name, declared.type, help=declared.help)
        default = None if declared.default is None else parameter.typed(declared.default)
        yield replace(parameter, default=default)


def _steps(table: DefinitionTable, depends: Mapping[str, tuple[str, ...]], step_types: StepTypes) -> Iterator[StepPlan]:
    for name, step in table.step.items():
        yield StepPlan(
            name=name,
            type=step.type,
            description=step.description,
            depends=depends[name],
            on_error=step.on_error,
            always_run=step.always_run,
            settings=step.settings,
            timeout=step_types[step.type].timeout if step.timeout is None else step.timeout,
            step_timeout=step.step_timeout,
            retry=_retry(table, step, step_types[step.type]),
            limits=step.limits.limits,
        )


def _retry(table: DefinitionTable, step: StepTable, step_type: AnyStepType) -> Retry:
    """What the step says, or else the definition, or else the step type."""
    written = [each.model_dump(exclude_none=True) for each in (table.retry, step.retry) if each]
    said = {key: value for each in written for key, value in each.items()}
    return replace(step_type.retry or Retry.by_default(step.on_error), **said)


def _duplicate(entry: DefinitionEntry, owner: Path) -> DefinitionEntry:
    assert entry.definition is not None
    file = DefinitionFile(entry.path, entry.definition.text, {})
    message = f"{entry.id!r} is already the id of {printable(str(owner))}; give one of the two files another id"
    return DefinitionEntry(entry.id, entry.path, problems=(file.problem(("id",), message),), text=file.text)


def _toml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml")


def _files_in(folder: Path) -> list[Path]:
    try:
        return _toml_files(folder)
    except OSError:
        return []


def _state(path: Path) -> object:
    """Changes whenever the file does; None while it cannot be told, which is then no worse than a change."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino
