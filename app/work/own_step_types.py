"""The step types there are: the bundled ones, those of installed packages, and those in files of one's own.

What cannot be loaded is told, and keeps nothing else from being loaded.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from app.work.failures import told
from app.work.problems import printable
from app.work.registry import AnyStepType, StepTypes, step_types_in
from app.work.step_type import StepType

GROUP = "stepglass.steps"
"""The entry points of packages that bring step types: each a class, a module or a package."""


@dataclass(frozen=True, slots=True)
class LoadTrouble:
    """Something that should have brought step types and did not."""

    place: str
    """A file, with the line at fault if there is one; or an entry point."""
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LoadedStepTypes:
    types: StepTypes
    troubles: tuple[LoadTrouble, ...] = ()


def load_step_types(bundled: ModuleType, paths: Sequence[Path] = ()) -> LoadedStepTypes:
    """The step types of the package `bundled`, of installed packages, and of `paths`: Python files, or packages.

    The folder of each path is appended to `sys.path`, where worker processes find it, too.
    """
    loading = _Loading(StepTypes.in_package(bundled))
    for entry_point in entry_points(group=GROUP):
        loading.take_entry_point(entry_point)
    for path in paths:
        loading.take_path(path.expanduser().absolute())
    types = StepTypes(loading.types.values(), map(str, loading.troubles))
    return LoadedStepTypes(types, tuple(loading.troubles))


class _Loading:
    def __init__(self, types: StepTypes) -> None:
        self.types = types
        self.troubles: list[LoadTrouble] = []

    def take_entry_point(self, entry_point: EntryPoint) -> None:
        place = printable(f"{entry_point.dist.name if entry_point.dist else ''} {GROUP} {entry_point.name}".strip())
        try:
            found = entry_point.load()
        except (Exception, SystemExit) as error:
            self.troubles.append(LoadTrouble(place, told(error)))
            return
        if isinstance(found, ModuleType):
            self._take_module(found, place)
        elif isinstance(found, type) and issubclass(found, StepType):
            self._take([found], place)
        else:
            self.troubles.append(LoadTrouble(place, "is neither a class that extends StepType nor a module"))

    def take_path(self, path: Path) -> None:
        place = printable(str(path))
        try:
            module = _module_at(path)
        except (Exception, SystemExit) as error:
            self.troubles.append(LoadTrouble(_place_in(place, path, error), told(error)))
            return
        self._take_module(module, place)

    def _take_module(self, module: ModuleType, place: str) -> None:
        """Takes the module's step types, and those of the modules inside it."""
        before = len(self.types) + len(self.troubles)
        self._take(step_types_in(module), place)
        for inner in _names_inside(module):
            try:
                self._take(step_types_in(importlib.import_module(inner)), place)
            except (Exception, SystemExit) as error:
                folder = Path(module.__file__ or place).parent
                self.troubles.append(LoadTrouble(_place_in(f"{place} ({inner})", folder, error), told(error)))
        if before == len(self.types) + len(self.troubles):
            self.troubles.append(LoadTrouble(place, "has no step type; one is a class that extends StepType"))

    def _take(self, found: Iterator[AnyStepType] | list[AnyStepType], place: str) -> None:
        for step_type in found:
            try:
                self.types = StepTypes([*self.types.values(), step_type])
            except (TypeError, ValueError, AttributeError) as error:
                self.troubles.append(LoadTrouble(place, str(error)))


def _module_at(path: Path) -> ModuleType:
    """The module or package of that path. Raises ValueError when another has its name, and whatever it raises."""
    name, folder = path.stem, str(path.parent)
    if not name.isidentifier():
        raise ValueError(f"{path.name!r} is no name of a module; rename it to letters, digits and _")
    if folder not in sys.path:
        sys.path.append(folder)  # last: what is in the folder hides no other module
    importlib.invalidate_caches()
    spec = find_spec(name)
    wanted = path / "__init__.py" if path.is_dir() else path
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != wanted.resolve():
        raise ValueError(f"there is another module named {name!r} ({spec and spec.origin}); rename this one")
    return importlib.import_module(name)


def _names_inside(module: ModuleType) -> list[str]:
    if not hasattr(module, "__path__"):
        return []
    names: list[str] = []
    for found in pkgutil.iter_modules(module.__path__, f"{module.__name__}."):
        names.append(found.name)
        if found.ispkg:
            folders = [f"{folder}/{found.name.rpartition('.')[2]}" for folder in module.__path__]
            names += (inner.name for inner in pkgutil.iter_modules(folders, f"{found.name}."))
    return names


def _place_in(place: str, path: Path, error: BaseException) -> str:
    """The place with the line at fault."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{printable(error.filename)}:{error.lineno}"
    folder = path if path.is_dir() else path.parent
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
    ]
    return f"{printable(frames[-1].filename)}:{frames[-1].lineno}" if frames else place
