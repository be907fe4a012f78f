"""The step types that definitions may name."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

from app.work.step_type import StepType

AnyStepType = type[StepType[Any]]


class StepTypes(Mapping[str, AnyStepType]):
    """A read-only mapping from the `type = "..."` of a definition to the class behind it."""

    def __init__(
        self, step_types: Iterable[AnyStepType], not_loaded: Iterable[str] = (), run_elsewhere: Iterable[str] = ()
    ) -> None:
        """`not_loaded`: what should have brought more of them and did not, and why. `run_elsewhere`: the names of those
        that others run, so that nothing here can keep them from it.

        Raises TypeError for a class without name, summary or settings type, ValueError for a name used twice."""
        by_name: dict[str, AnyStepType] = {}
        for step_type in step_types:
            _check_is_described(step_type)
            other = by_name.setdefault(step_type.name, step_type)
            if other is not step_type:
                raise ValueError(f'{_where(step_type)} and {_where(other)} are both named "{step_type.name}"')
        self._by_name = MappingProxyType(dict(sorted(by_name.items())))
        self.not_loaded = tuple(not_loaded)
        self.run_elsewhere = frozenset(run_elsewhere)

    @classmethod
    def in_package(cls, package: ModuleType) -> StepTypes:
        """Every step type that is defined in a module of the package, or of a package inside it.

        Modules whose names begin with an underscore have none, and are left for those to load who need them."""
        modules = (module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
        public = (name for name in modules if not name.rpartition(".")[2].startswith("_"))
        return cls(found for name in public for found in step_types_in(import_module(name)))

    def __getitem__(self, name: str) -> AnyStepType:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def step_types_in(module: ModuleType) -> Iterator[AnyStepType]:
    """The step types that are defined in the module itself."""
    for _, found in inspect.getmembers(module, inspect.isclass):
        defined_here = found.__module__ == module.__name__
        if defined_here and issubclass(found, StepType) and not inspect.isabstract(found):
            yield found


def _check_is_described(step_type: AnyStepType) -> None:
    missing = [name for name in ("name", "summary", "settings_type") if not hasattr(step_type, name)]
    if missing:
        raise TypeError(f"{_where(step_type)} has no {' and no '.join(missing)}")


def _where(step_type: AnyStepType) -> str:
    return f"{step_type.__module__}.{step_type.__qualname__}"
