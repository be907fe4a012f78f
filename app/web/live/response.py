"""The response that carries a stream."""

from __future__ import annotations

import asyncio

from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.web.live.subscriber import Subscriber


class LiveResponse(EventSourceResponse):
    """sse-starlette's response without its costs per event and per stream: the hub sends heartbeats, cuts readers that
    take nothing, and watches for the server's end, once for all streams instead of in tasks of every one of them."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        super().__init__(subscriber.frames(), ping=0, sep="\n", headers={"Cache-Control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._leave_with_the_reader(receive))
        try:
            # A reader that does not read holds up `send`, and only a cancellation ends that.
            async with asyncio.timeout(None) as patience:
                self._subscriber.when_cut(lambda: patience.reschedule(0))
                await self._stream_response(send)
        except TimeoutError:
            pass  # the server closes the connection of a response that was not completed
        finally:
            self._subscriber.when_cut(None)
            leaving.cancel()

    async def _stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frames in self.body_iterator:
            await send({"type": "http.response.body", "body": frames, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _leave_with_the_reader(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscriber.end()
