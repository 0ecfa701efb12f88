"""The event stream as a response: ends when the browser leaves, lags, or we stop."""

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.api.hub import Hub, Listener, TooManyListeners
from shared.domain.errors import StoreUnavailable

HEADERS: Final = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}


class EventStream(Response):
    """Sends what the hub tells one listener.

    A listener that was dropped hangs in its socket, so that its response is given up, not ended.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, status_code: int = 200) -> None:
        super().__init__(status_code=status_code, headers=HEADERS)
        del self.headers["content-length"]
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        try:
            with self._hub.listening() as listener:
                await self._until_over(listener, receive, send)
        except (StoreUnavailable, TooManyListeners):
            await _end(send)

    async def _until_over(self, listener: Listener, receive: Receive, send: Send) -> None:
        speaking = asyncio.ensure_future(self._speak(listener, send))
        tasks = {
            speaking,
            asyncio.ensure_future(_left(receive)),
            asyncio.ensure_future(listener.dropped.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not speaking.cancelled() and (error := speaking.exception()) is not None:
            raise error

    async def _speak(self, listener: Listener, send: Send) -> None:
        await self._hub.greet(listener)
        while (frame := await listener.frame()) is not None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await _end(send)


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
