"""A guard: runs one program in a folder, and sees to it that nothing of it outlives its owner.

It is started as `python -I -S guard.py GRACE FOLDER PROGRAM ARGUMENT...`, its stdin a pipe from its owner. It ends as
the program does, with its exit status or by its signal, and takes along what the program has left behind. When the pipe
is closed, because the owner wants an end or was killed, it ends everything: SIGTERM first, SIGKILL when the grace is
over. On Linux that reaches processes that have left the program's group, too.

`guarded` makes the command line. The file is run by itself, without the rest of the house, and does without
pathlib: a start must cost little.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress

GRACE = 1.0
"""Seconds from SIGTERM to SIGKILL. Less than handlers have, so that these see the end of it."""

NOT_STARTED = 127
"""The exit status when the program could not be started, as shells have it; why is said on stderr."""

_PR_SET_CHILD_SUBREAPER = 36
_HAS_PROC = sys.platform == "linux"


def guarded(folder: str, program: str, *arguments: str) -> list[str]:
    """The command line of a program under guard; folder "": a new one, removed at the end. Its stdin has to be a pipe
    that the owner keeps open."""
    return [sys.executable, "-I", "-S", __file__, str(GRACE), folder, program, *arguments]


def _main(grace: str, folder: str, program: str, *arguments: str) -> int:
    """The exit status of the program, as `os.waitstatus_to_exitcode` has it."""
    if folder:
        return _run_in(float(grace), folder, program, *arguments)
    import tempfile  # only here: it takes as long to load as all the rest

    with tempfile.TemporaryDirectory(prefix="stepglass-", ignore_cleanup_errors=True) as new:
        return _run_in(float(grace), new, program, *arguments)


def _run_in(grace: float, folder: str, program: str, *arguments: str) -> int:
    _adopt_orphans()
    try:
        os.chdir(folder)
        child = os.posix_spawnp(
            program,
            [program, *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setpgroup=0,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        )
    except OSError as error:
        print(f"{error.filename or program}: {error.strerror}", file=sys.stderr)
        return NOT_STARTED
    threading.Thread(target=_end_with_owner, args=(child, grace), daemon=True).start()
    status = _wait_for(child)
    left = len(_left(child))
    if left:
        print(f"left running, and ended now: {left} process{'es' if left > 1 else ''}", file=sys.stderr)
    _end_all(child, grace)
    os.chdir("/")
    return status


def _adopt_orphans() -> None:
    """Processes whose parents end become our children, whatever group they are in, instead of init's."""
    if _HAS_PROC:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for(child: int) -> int:
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def _end_with_owner(child: int, grace: float) -> None:
    while os.read(0, 1):
        pass
    _end_all(child, grace)


def _end_all(child: int, grace: float) -> None:
    _signal_all(child, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _left(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    while _left(child):  # again and again: some may be starting others meanwhile
        _signal_all(child, signal.SIGKILL)
        time.sleep(0.001)


def _signal_all(child: int, number: int) -> None:
    for process in _left(child):
        with suppress(OSError):
            os.kill(process, number)


def _left(child: int) -> list[int]:
    """What still runs of the program; where that cannot be found out, its group, as `kill` names it."""
    if _HAS_PROC:
        return _descendants() or _descendants()  # one that is just given another parent may escape a single look
    with suppress(OSError):
        os.kill(-child, 0)
        return [-child]
    return []


def _descendants() -> list[int]:
    """The processes below this one that have not ended."""
    inner: dict[int, list[int]] = {}
    ended: set[int] = set()
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):  # noqa: PTH208
        with suppress(OSError):
            with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
                # "pid (name) state parent ...", and a name may hold anything.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            inner.setdefault(int(parent), []).append(process)
            if state in (b"Z", b"X"):
                ended.add(process)
    found = [os.getpid()]
    for process in found:
        found += inner.get(process, [])
    return [process for process in found[1:] if process not in ended]


def _end_as(status: int) -> None:
    """Ends this process as the program did."""
    sys.stderr.flush()
    if status < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core file, of the program itself, is enough
        with suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    _end_as(_main(*sys.argv[1:]))
