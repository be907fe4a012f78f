"""The `stepglass` command. Each subcommand is a module of its own, loaded when it is asked for: a start costs less."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any

import click

from app import __version__

_COMMANDS = {
    "serve": ("app.cli.serve", "serve"),
    "worker": ("app.cli.worker", "worker"),
    "run": ("app.cli.run", "run"),
    "definitions": ("app.cli.definitions", "definitions"),
    "cancel": ("app.cli.control", "cancel"),
    "retry": ("app.cli.control", "retry"),
    "rerun": ("app.cli.control", "rerun"),
    "pause": ("app.cli.control", "pause"),
    "resume": ("app.cli.control", "resume"),
    "priority": ("app.cli.control", "priority"),
    "acknowledge": ("app.cli.control", "acknowledge"),
    "delete": ("app.cli.control", "delete"),
    "bulk": ("app.cli.control", "bulk"),
    "check": ("app.cli.check", "check"),
    "backup": ("app.cli.backup", "backup"),
    "restore": ("app.cli.backup", "restore"),
    "copy": ("app.cli.copy", "copy"),
}


class _LoadedWhenAsked(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[name]
        gc.disable()  # what is loaded stays: to look through it for garbage takes a seventh of the start
        try:
            command: click.Command = getattr(import_module(module), attribute)
        finally:
            gc.freeze()
            gc.enable()
        return command


@click.command(cls=_LoadedWhenAsked, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stepglass")
def cli() -> None:
    """A job queue you can see through."""


def main() -> Any:
    """The console script."""
    return cli(prog_name="stepglass")
