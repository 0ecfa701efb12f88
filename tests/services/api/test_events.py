"""The event stream, spoken to as ASGI: a browser is what we hand to ``send`` and ``receive``."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from services.api.bell import Bell
from services.api.hub import KEEP_ALIVE_SECONDS, LISTENERS_MAX, QUEUE_FRAMES, Hub
from tests.services.api.seeds import seed_decision
from tests.support.clock import ManualClock

TOPICS = ["status", "overview", "pairs", "opportunities", "equity"]
SCOPE: dict[str, Any] = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
    "scheme": "http", "path": "/v1/events", "raw_path": b"/v1/events", "query_string": b"",
    "root_path": "", "headers": [], "client": None, "server": None,
}  # fmt: skip


class Browser:
    """Takes frames in; a stalled one stops taking them, as a full socket does."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.status = 0
        self.ended = False
        self.grown = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.leaves = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            self.frames.append(message["body"].decode())
        self.ended = message["type"] == "http.response.body" and not message["more_body"]
        self.grown.set()

    async def receive(self) -> Any:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    def topics(self) -> list[str]:
        """The topics of what came so far; retry and keep-alive frames have none."""
        lines = [line for frame in self.frames for line in frame.splitlines()]
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]

    def data(self, topic: str) -> Any:
        """What the newest frame of a topic carries."""
        newest = next(f for f in reversed(self.frames) if f"event: {topic}\n" in f)
        return json.loads(newest.partition("data: ")[2])

    async def has(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.topics()) < count:
                self.grown.clear()
                await self.grown.wait()


@contextlib.asynccontextmanager
async def browsing(app: FastAPI) -> AsyncIterator[Browser]:
    browser = Browser()
    browser.task = asyncio.create_task(app(dict(SCOPE), browser.receive, browser.send))
    try:
        yield browser
    finally:
        browser.reads.set()
        browser.leaves.set()
        await browser.task


@pytest.fixture
def hub(app: FastAPI) -> Hub:
    found: Hub = app.state.hub
    return found


async def test_a_new_listener_is_told_everything_as_it_is_now(app: FastAPI, client: Any) -> None:
    async with browsing(app) as browser:
        await browser.has(5)
        assert browser.frames[0] == "retry: 1000\n\n"
        assert browser.topics() == TOPICS
        assert browser.data("overview") == (await client.get("/v1/overview")).json()
        assert all(f.startswith("id: ") and f.endswith("\n\n") for f in browser.frames[1:])


async def test_a_change_is_told_with_the_topics_it_changes(
    app: FastAPI, hub: Hub, owner: Any, clock: ManualClock, client: Any
) -> None:
    async with browsing(app) as browser:
        await browser.has(5)
        await hub.look()  # the first look tells all but the status once more
        await browser.has(9)
        async with owner.transaction():
            await seed_decision(owner)
        await clock.advance(1)
        await hub.look()
        await browser.has(11)
        assert browser.topics()[9:] == ["opportunities", "status"]
        ranking = browser.data("opportunities")
        assert ranking == (await client.get("/v1/opportunities")).json()
        assert len(ranking["rows"]) == 3


async def test_without_a_change_only_the_status_is_told_now_and_then(
    app: FastAPI, hub: Hub, clock: ManualClock
) -> None:
    async with browsing(app) as browser:
        await browser.has(5)
        await hub.look()
        await browser.has(9)
        await clock.advance(4)
        await hub.look()
        await clock.advance(1)
        await hub.look()
        await browser.has(10)
        assert browser.topics()[9:] == ["status"]


async def test_a_stalled_listener_is_dropped_and_delays_nobody(
    app: FastAPI, hub: Hub, clock: ManualClock
) -> None:
    async with browsing(app) as stalled, browsing(app) as healthy:
        await stalled.has(5)
        await healthy.has(5)
        stalled.reads.clear()
        held = len(stalled.frames)
        for _ in range(QUEUE_FRAMES + 2):
            told = len(healthy.topics())
            await clock.advance(5)
            await hub.look()
            await healthy.has(told + 1)
        assert stalled.task is not None
        async with asyncio.timeout(5):
            await stalled.task  # given up although its socket never took another byte
        assert len(stalled.frames) == held
        told = len(healthy.topics())
        await clock.advance(5)
        await hub.look()
        await healthy.has(told + 1)


async def test_a_listener_that_leaves_is_forgotten(app: FastAPI, client: Any) -> None:
    async with browsing(app) as browser:
        await browser.has(5)
        assert "carry_api_listeners_count 1.0" in (await client.get("/metrics")).text
    assert "carry_api_listeners_count 0.0" in (await client.get("/metrics")).text


async def test_streams_end_politely_when_we_stop(app: FastAPI, hub: Hub) -> None:
    async with browsing(app) as browser:
        await browser.has(5)
        hub.close()
        assert browser.task is not None
        async with asyncio.timeout(5):
            await browser.task
        assert browser.ended


async def test_one_listener_too_many_is_refused_with_a_problem(
    app: FastAPI, hub: Hub, client: Any
) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(LISTENERS_MAX):
            crowd.enter_context(hub.listening())
        answer = await client.get("/v1/events")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Too many pages listen already.")


async def test_the_broadcaster_looks_by_itself_and_keeps_silent_streams_alive(
    app: FastAPI, hub: Hub, owner: Any, clock: ManualClock
) -> None:
    running = asyncio.create_task(hub.run())
    try:
        async with browsing(app) as browser:
            await browser.has(5)
            async with owner.transaction():
                await seed_decision(owner)
            async with asyncio.timeout(5):
                while not browser.data("opportunities")["rows"]:
                    await clock.advance(0.25)
                    await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_silent_stream_gets_a_comment(hub: Hub, clock: ManualClock) -> None:
    with hub.listening() as listener:
        await listener.frame()  # retry
        await clock.advance(KEEP_ALIVE_SECONDS)
        hub.keep_alive()
        assert await listener.frame() == b": keep-alive\n\n"
        hub.keep_alive()
        assert listener.is_idle


async def test_what_another_service_says_rings_the_bell(redis: Redis, clock: ManualClock) -> None:
    rung = asyncio.Event()
    listening = asyncio.create_task(Bell(redis, clock, rung.set).run())
    try:
        async with asyncio.timeout(10):
            while not rung.is_set():
                await redis.xadd("execution.events", {"b": b"{}"})
                await asyncio.sleep(0.02)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert rung.is_set()
