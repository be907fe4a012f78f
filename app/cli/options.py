"""Options that several commands share, all of them settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from app.cli.refusals import refusals
from app.queue.limits import MOST_PRIORITY
from app.settings import Settings, help_for

F = TypeVar("F", bound=Callable[..., Any])
PRIORITY = click.IntRange(-MOST_PRIORITY, MOST_PRIORITY)
_SET_HELP = "A parameter of the definition; may be given several times."


def setting(name: str, metavar: str) -> Callable[[F], F]:
    """An option for a setting; what is not given is left to the environment."""
    return click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=help_for(name))


def switch(name: str) -> Callable[[F], F]:
    """An option without a value for a setting that is on or off."""
    return click.option(f"--{name.replace('_', '-')}", name, flag_value="on", default=None, help=help_for(name))


def read_settings(**options: str | None) -> Settings:
    """The settings of this command line and the environment. Raises Refusal."""
    with refusals():
        return Settings.read(os.environ, options)


def read_database_settings(data: str | None, database: str | None) -> Settings:
    """Those of one database. A data directory that is named here means the database in it, whatever the environment
    says of another. Raises Refusal."""
    settings = read_settings(data=data, database=database)
    return replace(settings, database="") if data is not None and database is None else settings


def parameter_option(command: F) -> F:
    """`--set name=value`, as often as needed."""
    return click.option(
        "--set",
        "parameters",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_pairs,
        help="A parameter of the definition.",
    )(command)


def _pairs(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value.")
        pairs[name] = value
    return pairs
