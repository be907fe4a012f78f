"""The floor under the streams: the least ASGI app that sends a message to everybody at a steady pace.

Called as `python -m tests.bench.bare_sender FOLDER BYTES`, it says where it is, and notes when it sent what, as an
observed server does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from app.cli.serve import _config
from app.main import _spare_the_garbage_collector
from tests.bench.rig import PACE


class BareSender:
    def __init__(self, notes: Path, length: int) -> None:
        self._notes, self._length = notes.open("w", buffering=1), length
        self._queues: set[asyncio.Queue[bytes]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(queue)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        while True:
            await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        ticking = asyncio.create_task(self._tick())
        _spare_the_garbage_collector()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ticking.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _tick(self) -> None:
        revision = 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + PACE, loop.time())
            await asyncio.sleep(due - loop.time())
            revision += 1
            head = f'id: bare-{revision}\ndata: data-revision="{revision}" '
            message = head.encode().ljust(self._length - 2, b"x") + b"\n\n"
            self._notes.write(f"{revision} {time.monotonic()}\n")
            for queue in self._queues:
                queue.put_nowait(message)


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(f"The bare sender is at http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}", flush=True)


if __name__ == "__main__":
    config = _config(BareSender(Path(sys.argv[1]) / "commits", int(sys.argv[2])))
    config.port, config.timeout_graceful_shutdown = 0, 0
    _Server(config).run()
