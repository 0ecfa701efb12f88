"""Runs by id: read from ``research.run``, or refused in one sentence."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from services.backtest.record import RUN
from services.backtest.stored import stored_run
from shared.domain.errors import Misconfigured
from shared.store.pool import open_pool
from shared.store.runs import queue_run, record_run
from tests.support.servers import Database

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def dsn(database: Database) -> str:
    return database.dsn_for("carry_backtest")


def keep(dsn: str, run_id: str, **outcome: Any) -> None:
    async def work() -> None:
        async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
            if outcome:
                await record_run(connection, run_id, "carry", {}, NOW, NOW, **outcome)
            else:
                await queue_run(connection, run_id, "carry", {}, NOW)

    asyncio.run(work())


def test_a_run_that_is_done_is_read_by_its_id(dsn: str) -> None:
    document: Mapping[str, Any] = {"format": RUN, "net": "12.5", "daily": {"days": []}}
    keep(dsn, "0a1b", result=document)
    assert stored_run("0a1b", lambda: dsn) == document


def test_runs_that_are_not_there_not_done_failed_or_older_are_named(dsn: str) -> None:
    keep(dsn, "wait")
    keep(dsn, "fell", failure="the history holds no bar")
    keep(dsn, "old", result={"net": "1"})
    for name, said in (
        ("none", "none is neither a file nor a run in the database"),
        ("wait", "run wait is queued: wait until it is done"),
        ("fell", "run fell is failed: the history holds no bar"),
        ("old", "run old is no stored run"),
    ):
        with pytest.raises(Misconfigured, match=said):
            stored_run(name, lambda: dsn)
