"""The kill switch in the database: who presses, what it forbids, who lifts it and when (K3)."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from shared.store.kill import (
    DOORBELL,
    Kill,
    lift_kill,
    press_kill,
    press_kill_once,
    read_forbidding,
    read_standing_kills,
)
from tests.support.bus import until
from tests.support.servers import Database, connected


@pytest.fixture
async def commander(database: Database) -> AsyncIterator[Any]:
    async with connected(database.dsn_for("carry_commander")) as connection:
        yield connection


@pytest.fixture
async def executor(database: Database) -> AsyncIterator[Any]:
    async with connected(database.dsn_for("carry_executor")) as connection:
        yield connection


async def beat(executor: Any, *, ready: bool = True, detail: str = "", ago: str = "0 s") -> None:
    await executor.execute(
        "INSERT INTO ops.heartbeat VALUES ('executor', $1, $2, NULL, now() - $3::text::interval) "
        "ON CONFLICT (service) DO UPDATE SET ready = $1, detail = $2, "
        "seen_at = now() - $3::text::interval",
        ready,
        detail,
        ago,
    )


@pytest.mark.parametrize(
    ("level", "pair", "adding", "anything"),
    [
        (0, "BTCUSDT", True, False),
        (0, "ETHUSDT", False, False),
        (1, None, True, False),
        (2, None, True, False),
        (3, None, True, False),
        (4, None, True, True),
    ],
)
async def test_levels_below_four_forbid_new_risk_alone_and_level_four_everything(
    commander: Any, level: int, pair: str | None, adding: bool, anything: bool
) -> None:
    kill_id = await press_kill(commander, level, "drill", "me", pair)
    said = f"kill {kill_id} of level {level}: drill"
    assert await read_forbidding(commander, 1, "BTCUSDT") == (said if adding else None)
    assert await read_forbidding(commander, 4, "BTCUSDT") == (said if anything else None)


@pytest.mark.parametrize(
    ("level", "reason", "by", "pair"),
    [(5, "r", "me", None), (-1, "r", "me", None), (0, "r", "me", None), (2, "r", "me", "BTCUSDT"),
     (1, "", "me", None), (1, "r", "", None)],
)  # fmt: skip
async def test_a_kill_without_sense_is_refused(
    commander: Any, level: int, reason: str, by: str, pair: str | None
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await press_kill(commander, level, reason, by, pair)


async def test_the_highest_level_that_stands_is_named_first(commander: Any) -> None:
    low = await press_kill(commander, 1, "low", "me")
    high = await press_kill(commander, 3, "high", "me")
    paused = await press_kill(commander, 0, "paused", "me", "BTCUSDT")
    assert await read_standing_kills(commander) == [
        Kill(high, 3, None, "high"),
        Kill(low, 1, None, "low"),
        Kill(paused, 0, "BTCUSDT", "paused"),
    ]


async def test_a_cause_that_stands_is_not_pressed_again_until_it_was_lifted(
    executor: Any, commander: Any
) -> None:
    first = await press_kill_once(executor, 1, "throttle: 20 plans", "executor")
    assert first is not None
    assert await press_kill_once(executor, 1, "throttle: 21 plans", "executor") is None
    assert await press_kill_once(executor, 1, "unknown: order", "executor") is not None
    await beat(executor)
    await lift_kill(commander, first, "me", "looked")
    assert await press_kill_once(executor, 1, "throttle: 22 plans", "executor") is not None


async def test_everybody_who_listens_hears_a_press_and_a_lift(
    executor: Any, commander: Any
) -> None:
    heard: list[str] = []

    def hear(*said: Any) -> None:
        heard.append(said[2])

    await executor.add_listener(DOORBELL, hear)
    kill_id = await press_kill(commander, 2, "drill", "me")

    async def count() -> int:
        return len(heard)

    await until(count, 1)
    await beat(executor)
    await lift_kill(commander, kill_id, "me", "over")
    await until(count, 2)
    await executor.remove_listener(DOORBELL, hear)


async def test_k3_a_lift_says_who_and_why_and_the_kill_stands_no_more(
    executor: Any, commander: Any
) -> None:
    kill_id = await press_kill(commander, 3, "drill", "me")
    await beat(executor)
    await lift_kill(commander, kill_id, "anna", "the drill is over")
    assert await read_standing_kills(commander) == []
    row = await commander.fetchrow("SELECT lifted_by, lift_reason FROM execution.kill")
    assert tuple(row) == ("anna", "the drill is over")
    with pytest.raises(asyncpg.PostgresError, match=f"no kill {kill_id} stands"):
        await lift_kill(commander, kill_id, "anna", "again")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (None, "no executor has said of late"),
        ({"ago": "11 s"}, "no executor has said of late"),
        ({"ready": False, "detail": "not reconciled yet"}, "not reconciled yet"),
        ({"detail": "venue: BTCUSDT: ours 1, the venue's 2"}, "ours 1, the venue's 2"),
    ],
)
async def test_k3_a_kill_is_not_lifted_while_reconciliation_is_not_green(
    executor: Any, commander: Any, state: dict[str, Any] | None, said: str
) -> None:
    kill_id = await press_kill(commander, 1, "drill", "me")
    if state is not None:
        await beat(executor, **state)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=said):
        await lift_kill(commander, kill_id, "anna", "over")
    assert len(await read_standing_kills(commander)) == 1


@pytest.mark.parametrize(("by", "reason"), [("", "over"), ("anna", " ")])
async def test_k3_nobody_lifts_a_kill_without_a_name_and_a_reason(
    executor: Any, commander: Any, by: str, reason: str
) -> None:
    kill_id = await press_kill(commander, 1, "drill", "me")
    await beat(executor)
    with pytest.raises(asyncpg.PostgresError, match="who lifts a kill"):
        await lift_kill(commander, kill_id, by, reason)
