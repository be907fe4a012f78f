"""A repository, fetched by the system's git into a bare one that is kept, and read without a working tree.

Nothing of a repository is ever run or checked out: no hooks, no filters, no submodules, no symbolic links. Nobody is
asked anything, and the configuration of the machine and of its users is left aside.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from app.steps.guard import guarded
from app.steps.source_tree import printable
from app.work.step_type import PermanentError

PROTOCOLS = ("https", "ssh", "http", "file")

_PASSED_ON = ("PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TIP = "refs/stepglass/tip"
_LOCK = "stepglass.lock"
_MOST_SAID = 64 * 1024
_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "credential.helper": "",
    "fetch.unpackLimit": "1",
    "gc.autoDetach": "false",
    "http.followRedirects": "false",  # they could lead to a host that may not be reached
    "http.lowSpeedLimit": "1000",  # a server that sends less than this many bytes a second
    "http.lowSpeedTime": "60",  # for this many seconds is not waited for
}

# What git says, and what a person is told. None of these would be otherwise the next time.
_PERMANENT = (
    (r"File too large", "is larger than max_size allows"),
    (r"dubious ownership", "belongs to another user of this machine; git refuses to read it"),
    (r"couldn't find remote ref HEAD|Remote HEAD refers to nonexistent", "has no commits yet"),
    (r"couldn't find remote ref", "has no such branch or tag"),
    (r"terminal prompts disabled|Authentication failed|Permission denied|error: 40[13]", "may not be read: {access}"),
    (r"does not appear to be a git repository|not a git repository|does not exist", "is not a git repository"),
    (r"[Rr]epository .*not found|error: 404|error: 410|not valid: is this a git repository", "was not found: {access}"),
    (r"error: 30[12378]", "has moved; give the address where it is now"),
    (r"certificate|Host key verification failed", "cannot be trusted"),
    (r"transport '.*' not allowed", "would be fetched in a way that is not allowed"),
    (r"Could not resolve hostname -|strange hostname", "has no address that can be used"),
)
_ACCESS = "check the address, and whether token_variable names a token that may read it"


class FetchFailed(Exception):
    """The repository could not be fetched just now."""


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    relative: str
    blob: str
    """The name of its content, in git."""
    size: int


def checked_address(url: str) -> str:
    """The address, if a repository may be fetched from it. Raises ValueError saying why not."""
    if not url.strip() or not url.isprintable() or url.startswith("-"):
        raise ValueError(f"{url!r} is not the address of a repository; give a URL or the path of one")
    if re.match(r"[A-Za-z0-9+.-]+::", url):
        raise ValueError(f"{url!r} would run a program of its own choice; give a URL or the path of a repository")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if scheme and scheme[1].lower() not in PROTOCOLS:
        raise ValueError(f"{scheme[1]!r} is no way to fetch a repository; those are {', '.join(PROTOCOLS)}")
    if scheme:
        parts = urlsplit(url)
        if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
            raise ValueError("has a name or password in it, which everybody would see; use token_variable instead")
    return url


def is_remote(url: str) -> bool:
    """Whether the address is a URL, or of the form user@host:path; otherwise it is a path of this machine."""
    return "://" in url or re.match(r"[\w.-]+@[\w.-]+:", url) is not None


class Repository:
    """The kept copy of one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, url: str) -> Repository:
        """The copy of that address, in the cache folder of this machine's user."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return cls(cache / "stepglass" / "git" / name)

    def fetch(self, url: str, branch: str, depth: int, max_size: int, token: str, addresses: str = "") -> str:
        """Brings the newest commit of the branch (or tag; "": the main one) here, and returns its name. `addresses`:
        where the host is, see `checked_host`. Raises PermanentError or FetchFailed."""
        if shutil.which("git") is None:
            raise PermanentError("git is not installed on this machine, and repositories are fetched by it")
        options = ["--quiet", "--force", "--no-tags", "--no-recurse-submodules", f"--depth={depth}"]
        wanted = [*options, "--", url, f"{branch or 'HEAD'}:{_TIP}"]
        with self._locked():
            self._init()
            try:
                self._fetch(url, wanted, max_size, token, addresses)
            except FetchFailed:
                if not self._is_damaged():
                    raise
                self._empty()
                self._init()
                self._fetch(url, wanted, max_size, token, addresses)
            return self._run("rev-parse", "--verify", f"{_TIP}^{{commit}}").strip()

    def subject(self, commit: str) -> str:
        """The commit in a line: its short name, its day and what it says."""
        return self._run("log", "-1", "--format=%h of %cs: %s", commit, "--").strip()

    def files(self, commit: str) -> Iterator[tuple[bytes, RepositoryFile]]:
        """The regular files of a commit with the bytes of their paths, in git's order."""
        line = ["git", "ls-tree", "-r", "-l", "-z", "--full-tree", commit]
        with subprocess.Popen(line, cwd=self.folder, env=_environment(), stdout=subprocess.PIPE) as process:
            assert process.stdout
            for entry in _split(process.stdout):
                about, _, path = entry.partition(b"\t")
                mode, _, blob, size = about.split()
                if mode.startswith(b"100"):
                    yield path, RepositoryFile(path.decode("utf-8", "surrogateescape"), blob.decode(), int(size))
        if process.returncode:
            raise PermanentError(f"the copy of it in {self.folder} is damaged; remove the copy, and run it again")

    def contents(self, blobs: Iterable[str]) -> Iterator[bytes | None]:
        """What the files hold, one after the other; None for what is not here any more."""
        line = ["git", "cat-file", "--batch"]
        pipe = subprocess.PIPE
        with subprocess.Popen(line, cwd=self.folder, env=_environment(), stdin=pipe, stdout=pipe) as process:
            assert process.stdin and process.stdout
            for blob in blobs:
                process.stdin.write(blob.encode() + b"\n")
                process.stdin.flush()
                head = process.stdout.readline().split()
                yield process.stdout.read(int(head[2]) + 1)[:-1] if len(head) == 3 else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One fetch at a time; what others read meanwhile stays as it is."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _init(self) -> None:
        self._run("init", "--quiet", "--bare", "--template=", ".")
        self._sweep()

    def _is_damaged(self) -> bool:
        """Whether it was the copy here that kept git from fetching, and not who was asked."""
        check = ["git", "fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
        return subprocess.run(check, cwd=self.folder, env=_environment(), capture_output=True).returncode != 0

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _sweep(self) -> None:
        """Removes what a fetch that was killed has left."""
        for left in (*self.folder.glob("*.lock"), *self.folder.glob("objects/pack/tmp_*")):
            if left.name != _LOCK:
                with suppress(OSError):
                    left.unlink()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=_environment(), capture_output=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise FetchFailed(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'backslashreplace').strip()}")
        return done.stdout.decode("utf-8", "backslashreplace")

    def _fetch(self, url: str, arguments: list[str], max_size: int, token: str, addresses: str) -> None:
        # The pack comes in one file, whose size the system limits; with the signal ignored, git says that it was so.
        # The guard ends git when this process is ended.
        script = 'trap "" XFSZ; ulimit -f "$1"; shift; exec git fetch "$@"'
        limited = ["/bin/sh", "-c", script, "sh", str(-(-max_size // 512))]
        ours, pipe = map(os.fdopen, os.pipe(), ("rb", "wb"))
        with (
            ours,
            pipe,
            subprocess.Popen(
                guarded(str(self.folder), *limited, *arguments),
                env=_environment(url, token, addresses),
                stdin=ours,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # what ends the group of this process is to leave it the time to end git
            ) as process,
        ):
            assert process.stderr
            said = b""
            try:
                while part := os.read(process.stderr.fileno(), _MOST_SAID):
                    said = (said + part)[-_MOST_SAID:]
            except BaseException:
                pipe.close()  # before it is waited for
                raise
        if process.returncode:
            raise _explained(url, said.decode("utf-8", "backslashreplace"), process.returncode)


def _environment(url: str = "", token: str = "", addresses: str = "") -> dict[str, str]:
    configuration = dict(_CONFIGURATION)
    if addresses:
        configuration["http.curloptResolve"] = addresses
    if token:
        secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        parts = urlsplit(url)
        configuration[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: Basic {secret}"
    given = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(configuration)}
    values = {f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(configuration.values())}
    return {
        **{name: os.environ[name] for name in (*_PASSED_ON, *_PROXIES) if name in os.environ},
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=30",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_COUNT": str(len(configuration)),
        **given,
        **values,
    }


def _explained(url: str, said: str, status: int) -> Exception:
    """What went wrong, for a person; permanent when it would go wrong again."""
    lines = [line for line in said.splitlines() if line.strip()]
    fatal = next(
        (line for line in lines if line.startswith(("fatal:", "ERROR:", "error:"))), lines[-1] if lines else ""
    )
    own = printable(fatal[:300]) or f"exit status {status}"
    for pattern, told in _PERMANENT:
        if re.search(pattern, said):
            return PermanentError(f"{printable(url)} {told.format(access=_ACCESS)} (git says: {own})")
    return FetchFailed(f"{printable(url)} could not be fetched (git says: {own})")


def _split(stream: IO[bytes]) -> Iterator[bytes]:
    """The entries of a stream that end with a null byte."""
    rest = b""
    while part := stream.read(1 << 16):
        *entries, rest = (rest + part).split(b"\0")
        yield from entries
