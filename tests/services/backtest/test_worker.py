"""Queued runs: worked off once, taken over from the dead, refused in one sentence."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.backtest.main import perform
from services.backtest.worker import KIND, Worker
from shared.domain.errors import Misconfigured
from shared.store.pool import WritePool, open_pool
from shared.store.runs import LEASE, claim_run, finish_run, queue_run
from tests.support.clock import ManualClock
from tests.support.servers import Database

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SPAN = {"from": "2023-11-11", "to": "2023-11-14", "deposit": "100000"}


async def queued(pool: WritePool, run_id: str, kind: str = KIND, **parameters: str) -> None:
    async with pool.acquire() as connection:
        await queue_run(connection, run_id, kind, parameters, NOW)


async def row(pool: WritePool, run_id: str) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchrow("SELECT * FROM research.run WHERE id = $1", run_id)


@pytest.fixture
def dsn(database: Database) -> str:
    return database.dsn_for("carry_backtest")


async def test_a_queued_run_is_worked_off_and_its_parts_add_up(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", **SPAN)
        worker = Worker(pool, ManualClock(NOW), perform)
        assert await worker.step()
        assert not await worker.step()
        stored = await row(pool, "r1")
    assert stored["state"] == "done"
    figures = json.loads(stored["result"])
    parts = [Decimal(figures[name]) for name in ("funding", "fees", "basis")]
    assert sum(parts) == Decimal(figures["net"])
    assert figures["pairs_opened"] == 5


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"from": "yesterday"}, "yesterday is no instant"),
        ({"report": "/etc/passwd"}, "no run has a parameter report"),
        ({"symbols": "DOGEUSDT"}, "DOGEUSDT has no rules"),
    ],
)
async def test_a_run_that_cannot_be_is_failed_with_the_reason(
    dsn: str, parameters: dict[str, str], said: str
) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", **parameters)
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "r1")
    assert stored["state"] == "failed"
    assert said in stored["detail"]


async def test_a_run_of_another_kind_is_failed_by_name(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", kind="sweep")
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "r1")
    assert (stored["state"], stored["detail"]) == (
        "failed",
        "no run is called sweep: this worker knows carry",
    )


async def test_workers_that_look_at_once_never_take_the_same_run(dsn: str) -> None:
    done: list[str] = []

    async def note(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        done.append(parameters["from"])
        return {"net": "0"}

    async with open_pool(dsn, application="test", max_size=8) as pool:
        for number in range(12):
            await queued(pool, f"r{number}", **{"from": str(number)})
        workers = [Worker(pool, ManualClock(NOW), note) for _ in range(4)]

        async def exhaust(worker: Worker) -> None:
            while await worker.step():
                pass

        await asyncio.gather(*map(exhaust, workers))
    assert sorted(done, key=int) == [str(number) for number in range(12)]


async def test_a_run_left_by_a_dead_worker_is_taken_over_when_its_lease_ends(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
        await queue_run(connection, "r1", KIND, SPAN, NOW)
        first = await claim_run(connection, NOW)
        assert first is not None
        assert await claim_run(connection, NOW + LEASE) is None
        late = NOW + LEASE + timedelta(seconds=1)
        second = await claim_run(connection, late)
        assert second is not None
        assert second.id == "r1"
        assert not await finish_run(connection, first, late, result={"net": "1"})
        assert await finish_run(connection, second, late, result={"net": "2"})
        stored = await connection.fetchrow("SELECT state, result FROM research.run")
    assert (stored["state"], json.loads(stored["result"])) == ("done", {"net": "2"})


async def test_a_long_run_stays_ours_while_it_is_worked_on(dsn: str) -> None:
    clock = ManualClock(NOW)
    release = asyncio.Event()

    async def slow(_parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        await release.wait()
        return {"net": "3"}

    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1")
        working = asyncio.create_task(Worker(pool, clock, slow).step())
        for _ in range(10):
            await settled(pool, clock)
        async with pool.acquire() as connection:
            assert await claim_run(connection, clock.now()) is None
        release.set()
        assert await working
        assert (await row(pool, "r1"))["state"] == "done"


async def settled(pool: WritePool, clock: ManualClock) -> None:
    """Move five seconds on and wait until the claim says so."""
    await asyncio.sleep(0.05)
    before = clock.now()
    await clock.advance(5)
    for _ in range(200):
        stored = await row(pool, "r1")
        if stored["claimed_at"] is not None and stored["claimed_at"] > before:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the claim was not renewed")


async def test_parameters_reach_no_shell() -> None:
    with pytest.raises(Misconfigured, match=r"\$\(touch x\) is no instant"):
        await perform({"from": "$(touch x)"})
