"""Repositories that tests make, and a server that hands them out over HTTP as GitHub does."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
_QUIET = {
    **_CLEAN,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in {"NAME": "A. Person", "EMAIL": "person@example.org", "DATE": "2026-01-02T03:04:05Z"}.items()
    },
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=_QUIET, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str | bytes | None], message: str = "Notes") -> str:
    """Writes the files (None: removes one), and commits. Makes the repository when there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@contextmanager
def hub(folder: Path, token: str = "", moved_to: str = "") -> Iterator[str]:
    """Serves `folder`/owner/repo as /owner/repo.git, to whoever has the token; or redirects to where it has moved to.
    Yields the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service = parse_qs(urlsplit(self.path).query).get("service", [""])[0]
            if repository := self._repository("/info/refs"):
                said = subprocess.run(
                    ["git", "upload-pack", "--stateless-rpc", "--advertise-refs", str(repository)],
                    env=self._git(),
                    capture_output=True,
                    check=True,
                ).stdout
                self._answer(
                    200, f"application/x-{service}-advertisement", b"001e# service=git-upload-pack\n0000" + said
                )

        def do_POST(self) -> None:
            if repository := self._repository("/git-upload-pack"):
                asked = self._body()
                said = subprocess.run(
                    ["git", "upload-pack", "--stateless-rpc", str(repository)],
                    env=self._git(),
                    input=asked,
                    capture_output=True,
                ).stdout
                self._answer(200, "application/x-git-upload-pack-result", said)

        def _repository(self, end: str) -> Path | None:
            path = urlsplit(self.path).path
            expected = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
            if token and self.headers.get("Authorization") != expected:
                self._answer(401, "text/plain", b"who are you?", **{"WWW-Authenticate": 'Basic realm="hub"'})
                return None
            if moved_to:
                self._answer(301, "text/plain", b"not here", Location=f"{moved_to}{self.path}")
                return None
            repository = folder / path.removesuffix(end).removesuffix(".git").strip("/")
            if not path.endswith(end) or not repository.is_dir():
                self._answer(404, "text/plain", b"Repository not found.")
                return None
            return repository

        def _body(self) -> bytes:
            import gzip

            body = self.rfile.read(int(self.headers["Content-Length"]))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _git(self) -> dict[str, str]:
            return {**_QUIET, "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}

        def _answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
