"""Probes: alive, ready with reasons when not, metrics, and bounded patience."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from shared.telemetry import health
from shared.telemetry.health import HealthServer
from shared.telemetry.metrics import Metrics


class State:
    """What the service says of itself."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.error: Exception | None = None

    async def __call__(self) -> Sequence[str]:
        if self.error is not None:
            raise self.error
        return self.reasons


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def client(state: State) -> AsyncIterator[httpx.AsyncClient]:
    metrics = Metrics("collector")
    metrics.counter("ticks", "Ticks received.")
    async with (
        HealthServer(metrics, port=0, ready=state) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        yield client


async def test_a_running_service_is_alive_and_ready(client: httpx.AsyncClient) -> None:
    alive, ready = await client.get("/healthz"), await client.get("/readyz?verbose")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive", "service": "collector"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_it_says_why_it_is_not_ready(client: httpx.AsyncClient, state: State) -> None:
    state.reasons = ["tickers are silent for 9 s"]
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["tickers are silent for 9 s"]
    assert (await client.get("/healthz")).status_code == 200


async def test_an_unknown_readiness_is_not_ready(client: httpx.AsyncClient, state: State) -> None:
    state.error = ConnectionError("postgresql://user:password@host")
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["readiness failed: ConnectionError"]


async def test_metrics_are_served_in_prometheus_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "carry_collector_ticks_total 0.0" in answer.text


async def test_other_pages_and_methods_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).status_code == 404
    assert (await client.post("/metrics")).status_code == 405


async def test_a_request_that_is_none_gets_400(client: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_silent_caller_is_cut_off(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_stopping_does_not_wait_for_a_silent_caller() -> None:
    async with (
        asyncio.timeout(2),
        HealthServer(Metrics("collector"), port=0, ready=State()) as server,
    ):
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()
