"""The response that carries a stream."""

from __future__ import annotations

from sse_starlette import EventSourceResponse
from starlette.types import Message, Send

from app.web.live.subscriber import Subscriber


class LiveResponse(EventSourceResponse):
    """sse-starlette's response without its costs per event: the hub sends heartbeats, cuts readers that take nothing,
    and watches for the server's end, once for all streams instead of in every one of them."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        headers = {"Cache-Control": "no-store"}
        super().__init__(subscriber.frames(), ping=0, sep="\n", headers=headers)

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        await send(message)

    async def _listen_for_exit_signal_with_grace(self) -> None:
        await self._subscriber.cut.wait()
