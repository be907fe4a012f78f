"""A reader that takes nothing does not hold its connection for ever."""

from __future__ import annotations

import importlib
import select
import socket
from pathlib import Path

import pytest

from app.settings import Settings

serve = importlib.import_module("app.cli.serve")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
def test_the_connection_of_a_reader_that_takes_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "PATIENCE", 1)
    with serve._listen(Settings(data=tmp_path, port=0)) as listener, socket.socket() as stuck:
        listener.listen()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    connection.send(b"x" * 65_536)
            events = select.poll()
            events.register(connection, 0)  # errors are always told
            assert events.poll(60_000), "the connection is still open"
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
