"""command: runs a program, its output in the log."""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from app.steps.guard import NOT_STARTED, guarded
from app.steps.source_tree import printable
from app.work.step_type import Context, Level, PermanentError, Settings, StepType, WorkItem

ALWAYS_PASSED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Variables of the server's environment that every program gets: nothing secret, and hardly anything works without."""

LONGEST_LINE = 8192
"""Characters from which on a line goes on in another one."""

_CHUNK = 64 * 1024
_PACE = 1000
"""Lines after which others get their turn."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class ProgramFailed(Exception):
    """The program ended with an exit status that means failure, or by a signal."""


class CommandSettings(Settings):
    program: str = Field(min_length=1)
    """A program on the PATH, or the path of one; with `shell`, a text for /bin/sh."""
    arguments: list[str] = Field(default_factory=list)
    """Each reaches the program as it is; with `shell`, as $1, $2 and so on."""
    shell: bool = False
    """Whether `program` is a text for /bin/sh, with its pipes and variables."""
    folder: str = ""
    """The working directory; without one, a new one that is removed at the end."""
    environment: list[str] = Field(default_factory=list)
    """Names of variables that are passed on from the server's environment, besides the few harmless ones."""
    variables: dict[str, str] = Field(default_factory=dict)
    """More variables, with their values."""
    success: list[int] = Field(default_factory=lambda: [0], min_length=1)
    """The exit statuses that mean success."""
    max_lines: int = Field(50_000, ge=1, le=1_000_000)
    """A program that writes more is ended, and has failed."""
    max_output: int = Field(16 << 20, ge=1, le=1 << 30)
    """The same, in bytes."""

    @field_validator("program", "folder")
    @classmethod
    def _is_storable(cls, text: str) -> str:
        return _without_null(text)

    @field_validator("arguments")
    @classmethod
    def _are_storable(cls, texts: list[str]) -> list[str]:
        return [_without_null(text) for text in texts]

    @field_validator("environment")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        return [_variable_name(name) for name in names]

    @field_validator("variables")
    @classmethod
    def _have_names(cls, variables: dict[str, str]) -> dict[str, str]:
        return {_variable_name(name): _without_null(value) for name, value in variables.items()}

    @field_validator("success")
    @classmethod
    def _are_statuses(cls, statuses: list[int], info: ValidationInfo) -> list[int]:
        wrong = next((status for status in statuses if not 0 <= status <= 255), None)
        if wrong is not None:
            raise ValueError(f"{wrong} is no exit status; those are 0 to 255")
        return statuses


class Command(StepType[CommandSettings]):
    """One work item: the program. It waits on the event loop, since the program has processes of its own.

    However the work item ends, all of the program's processes end with it, also when the server is killed.
    """

    name = "command"
    summary = "Runs a program with arguments, its output in the log."
    settings_type = CommandSettings
    page_may_use = False
    timeout = 3600.0

    async def plan(self, context: Context[CommandSettings]) -> AsyncIterator[WorkItem]:
        yield WorkItem(_title(context.settings))

    async def run(self, context: Context[CommandSettings], item: WorkItem) -> dict[str, Any]:
        """The exit status, the lines written, and how long it took. Raises ProgramFailed, and PermanentError when
        the program cannot be started or writes too much."""
        settings = context.settings
        began = time.monotonic()
        context.log(
            f"$ {printable(_shown(settings))}" + (f"  (in {printable(settings.folder)})" * bool(settings.folder))
        )
        output = _Output(context)
        status = await _run(settings, output)
        seconds = round(time.monotonic() - began, 3)
        if status not in settings.success:
            raise _failure(settings, status, output.last)
        context.log(f"exit status {status} after {seconds:g} s, {output.lines:,} lines of output")
        return {"exit_status": status, "lines": output.lines, "seconds": seconds}


class _Output:
    """What a program has written so far, all streams together. Raises PermanentError beyond what it may write."""

    def __init__(self, context: Context[CommandSettings]) -> None:
        self._context = context
        self._bytes = 0
        self.lines = 0
        self.last: dict[Level, str] = {}
        """The last line of each stream that says anything."""

    async def follow(self, stream: asyncio.StreamReader, level: Level) -> None:
        """Logs each line, to the end of the stream."""
        lines = _Lines()
        while content := await stream.read(_CHUNK):
            self._bytes += len(content)
            await self._log(lines.cut(content), level)
            if self._bytes > self._context.settings.max_output:
                raise PermanentError(_too_much("max_output", self._context.settings.max_output, "bytes"))
        await self._log(lines.rest(), level)

    async def _log(self, lines: Iterator[str], level: Level) -> None:
        most = self._context.settings.max_lines
        for line in lines:
            if self.lines == most:
                raise PermanentError(_too_much("max_lines", most, "lines"))
            self.lines += 1
            self._context.log(line, level)
            if line.strip():
                self.last[level] = line
            if self.lines % _PACE == 0:
                await asyncio.sleep(0.02)


class _Lines:
    """Cuts bytes into lines. Bytes that are not UTF-8 are shown as escapes; a line that is too long goes on in
    another."""

    def __init__(self) -> None:
        utf_8 = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(utf_8, translate=True)
        self._begun = ""

    def cut(self, content: bytes, final: bool = False) -> Iterator[str]:
        """The lines that are complete by now."""
        *lines, self._begun = (self._begun + self._decoder.decode(content, final)).split("\n")
        for line in lines:
            yield from _pieces(line)
        while len(self._begun) > LONGEST_LINE:
            piece, self._begun = self._begun[:LONGEST_LINE], self._begun[LONGEST_LINE:]
            yield piece

    def rest(self) -> Iterator[str]:
        """What is left at the end, a line that has not ended."""
        yield from self.cut(b"", final=True)
        if self._begun:
            yield self._begun


def _pieces(line: str) -> Iterator[str]:
    yield line[:LONGEST_LINE]
    for start in range(LONGEST_LINE, len(line), LONGEST_LINE):
        yield line[start : start + LONGEST_LINE]


async def _run(settings: CommandSettings, output: _Output) -> int:
    """Runs the program to its end, and returns its exit status; below 0, the signal that ended it."""
    async with _started(settings) as process:
        assert process.stdout and process.stderr
        streams = [
            asyncio.ensure_future(output.follow(process.stdout, "info")),
            asyncio.ensure_future(output.follow(process.stderr, "warn")),
        ]
        try:
            await _followed(streams)
        except asyncio.CancelledError:
            assert process.stdin
            process.stdin.close()  # the guard ends it; what it says until then is kept
            await _followed(streams)
            raise
        finally:
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        return await process.wait()


async def _followed(streams: Collection[asyncio.Future[None]]) -> None:
    """Waits until all have come to their end, or raises what one of them does. Leaves them be when it is cancelled."""
    done, _ = await asyncio.wait(streams, return_when=asyncio.FIRST_EXCEPTION)
    for stream in done:
        stream.result()


@asynccontextmanager
async def _started(settings: CommandSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program under guard; it has ended, with all its processes, when the block has."""
    environment = _environment(settings)
    line = guarded(settings.folder, *_command_line(settings, environment))
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *line, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True, limit=_CHUNK
        )
    except OSError as error:
        raise PermanentError(f"{printable(settings.program)} cannot be started: {error.strerror}") from None
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        # An end is seen only when all has been read: what is still in the pipes, nobody wants.
        await asyncio.gather(_drain(process.stdout), _drain(process.stderr))
        await process.wait()


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream and await stream.read(_CHUNK):
        pass


def _command_line(settings: CommandSettings, environment: dict[str, str]) -> list[str]:
    if settings.folder and not Path(settings.folder).is_dir():
        raise PermanentError(f"the folder {settings.folder!r} does not exist or is not a folder; check the path")
    if settings.shell:
        return ["/bin/sh", "-c", settings.program, "sh", *settings.arguments]
    program = settings.program
    if "/" not in program and shutil.which(program, path=environment.get("PATH")) is None:
        raise PermanentError(f"{program!r} is not on the PATH of this server; install it, or give its path")
    return [program, *settings.arguments]


def _environment(settings: CommandSettings) -> dict[str, str]:
    passed = {name: os.environ[name] for name in (*ALWAYS_PASSED, *settings.environment) if name in os.environ}
    return {**passed, **settings.variables}


def _failure(settings: CommandSettings, status: int, last: dict[Level, str]) -> Exception:
    said = last.get("warn") or last.get("info") or ""
    after = f": {said[:300]}" if said else ""
    if status in (NOT_STARTED, NOT_STARTED - 1):  # what was not found, or may not be run, will not be the next time
        return PermanentError(f"{printable(settings.program)} could not be run, exit status {status}{after}")
    return ProgramFailed(f"{_ending(status)}{after}")


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


def _title(settings: CommandSettings) -> str:
    shown = printable(_shown(settings))
    return shown if len(shown) <= 200 else f"{shown[:199]}…"


def _shown(settings: CommandSettings) -> str:
    """The command as one would type it."""
    if settings.shell:
        return " ".join([settings.program, *map(shlex.quote, settings.arguments)])
    return shlex.join([settings.program, *settings.arguments])


def _too_much(setting: str, most: int, what: str) -> str:
    return f"it wrote more than {most:,} {what} and was ended there; {setting} can be set higher"


def _variable_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a variable; use letters, digits and _, a letter first")
    return name


def _without_null(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{text!r} has a null character, which no program can be given")
    return text
