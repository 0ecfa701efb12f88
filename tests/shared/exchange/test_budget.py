"""Whose turn it is: the venue's limits, what is kept back of them, and what a refusal teaches."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.domain.errors import RateLimited
from shared.exchange.bybit.budget import Budget, Priority
from shared.exchange.bybit.errors import Banned, Throttled
from tests.support.clock import ManualClock

LINEAR = {"category": "linear"}
SPOT = {"category": "spot"}


class Desk:
    """Makes calls by their turns and writes down which came, and when (seconds)."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bans = 0
        self.budget = Budget(self.clock, self._banned)
        self.came: list[tuple[str, float]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def call(
        self,
        name: str,
        method: str = "place_order",
        query: dict[str, str] | None = None,
        priority: Priority = Priority.READ,
        *,
        answers: asyncio.Event | None = None,
        raises: Exception | None = None,
        patience: float = 30.0,
    ) -> asyncio.Task[None]:
        """Ask for a turn now; its answer comes at once unless ``answers`` is given."""

        async def one() -> None:
            async with self.budget.turn(method, query or {}, priority, patience):
                self.came.append((name, self.clock.monotonic()))
                if answers is not None:
                    await answers.wait()
                if raises is not None:
                    raise raises

        task = asyncio.create_task(one())
        self.tasks.append(task)
        return task

    def count(self, name: str) -> int:
        return sum(came == name for came, _ in self.came)

    async def settle(self) -> None:
        await self.clock.advance(0)

    def _banned(self) -> None:
        self.bans += 1


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.budget.close()
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("query", "priority", "at_once"),
    [
        (LINEAR, Priority.REDUCE, 10),
        (LINEAR, Priority.OPEN, 7),  # 30 % of 10 are kept
        (SPOT, Priority.REDUCE, 20),
        (SPOT, Priority.OPEN, 14),
    ],
)
async def test_orders_get_what_the_venue_takes_in_a_second_and_opens_leave_three_tenths(
    desk: Desk, query: dict[str, str], priority: Priority, at_once: int
) -> None:
    for _ in range(60):
        desk.call("order", query=query, priority=priority)
    await desk.settle()
    assert desk.count("order") == at_once
    await desk.clock.advance(1.0)
    assert desk.count("order") == at_once  # no second has passed at the venue for sure
    await desk.clock.advance(0.05)
    assert desk.count("order") == 2 * at_once


async def test_no_second_holds_more_than_the_venue_takes(desk: Desk) -> None:
    for n in range(40):
        desk.call("order", query=LINEAR, priority=Priority(n % 2))
        await desk.clock.advance(0.05)
    await desk.clock.advance(10)
    stamps = [at for _, at in desk.came]
    assert len(stamps) == 40
    assert all(sum(at <= other < at + 1 for other in stamps) <= 10 for at in stamps)


async def test_a_hedge_does_not_wait_for_a_flood_of_reads(desk: Desk) -> None:
    """F:E10. 5,000 reads of every kind want to go, unanswered or not: a hedge goes at once."""
    silence = asyncio.Event()
    for n in range(1_000):
        for method in ("get_executions", "get_transaction_log", "get_wallet_balance"):
            desk.call("read", method, answers=silence if n % 2 else None)
        desk.call("read", "get_orderbook")
        desk.call("read", "get_kline")
    await desk.clock.advance(20)
    assert desk.count("read") > 0
    hedge = desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
    await desk.settle()
    assert hedge.done()
    assert desk.came[-1] == ("hedge", 20.0)


async def test_a_hedge_passes_the_opens_that_wait_before_it(desk: Desk) -> None:
    for _ in range(20):
        desk.call("open", query=LINEAR, priority=Priority.OPEN)
    for _ in range(5):
        desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
    await desk.settle()
    # 7 opens came before; of the 3 kept places hedges take all, and the next two go first
    assert [name for name, _ in desk.came] == ["open"] * 7 + ["hedge"] * 3
    await desk.clock.advance(1.05)
    assert [name for name, _ in desk.came[10:]] == ["hedge"] * 2 + ["open"] * 5


async def test_the_address_has_300_calls_in_five_seconds_of_which_reads_take_210(
    desk: Desk,
) -> None:
    for _ in range(400):
        desk.call("read", "get_orderbook")
    await desk.settle()
    assert desk.count("read") == 210
    for _ in range(100):
        desk.call("cancel", "get_tickers", priority=Priority.REDUCE)
    await desk.clock.advance(5.0)
    assert (desk.count("read"), desk.count("cancel")) == (210, 90)
    await desk.clock.advance(0.25)
    assert desk.count("cancel") == 100


async def test_too_many_unanswered_reads_hold_back_reads_alone(desk: Desk) -> None:
    silence = asyncio.Event()
    for _ in range(9):
        desk.call("read", "get_executions", answers=silence)
    desk.call("open", query=LINEAR, priority=Priority.OPEN)
    desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
    await desk.settle()
    assert [desk.count(n) for n in ("read", "open", "hedge")] == [5, 1, 1]
    silence.set()
    await desk.settle()
    assert desk.count("read") == 9


async def test_a_refusal_for_its_rate_holds_back_its_own_group_until_the_reset(
    desk: Desk,
) -> None:
    resets_at = desk.clock.now() + timedelta(seconds=2.5)
    refused = desk.call("refused", query=LINEAR, raises=Throttled("10006", resets_at))
    await desk.settle()
    assert isinstance(refused.exception(), Throttled)
    for priority in Priority:
        desk.call("linear", query=LINEAR, priority=priority)
        desk.call("spot", query=SPOT, priority=priority)
        desk.call("read", "get_executions", priority=priority)
    await desk.clock.advance(2.49)
    assert [desk.count(n) for n in ("linear", "spot", "read")] == [0, 3, 3]
    await desk.clock.advance(0.01)
    assert desk.count("linear") == 3


@pytest.mark.parametrize(("says", "waits"), [(None, 0.1), (-60.0, 0.1), (3600.0, 5.0)])
async def test_a_reset_that_cannot_be_is_held_within_bounds(
    desk: Desk, says: float | None, waits: float
) -> None:
    resets_at = None if says is None else desk.clock.now() + timedelta(seconds=says)
    desk.call("refused", query=LINEAR, raises=Throttled("10006", resets_at))
    await desk.settle()
    desk.call("next", query=LINEAR)
    await desk.clock.advance(waits - 0.01)
    assert desk.count("next") == 0
    await desk.clock.advance(0.01)
    assert desk.count("next") == 1


async def test_during_a_ban_nothing_is_sent_and_everybody_is_told_at_once(desk: Desk) -> None:
    waiting = [desk.call("waiting", query=LINEAR, priority=Priority.OPEN) for _ in range(12)]
    banned = desk.call("banned", "get_wallet_balance", raises=Banned("HTTP 403"))
    await desk.settle()
    assert isinstance(banned.exception(), Banned)
    assert [isinstance(task.exception(), Banned) for task in waiting[7:]] == [True] * 5
    sent = len(desk.came)
    for _ in range(599):
        desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
        await desk.clock.advance(1)
    assert (len(desk.came), desk.bans) == (sent, 1)
    await desk.clock.advance(1)
    desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
    await desk.settle()
    assert desk.count("hedge") == 1


async def test_a_turn_that_does_not_come_in_time_costs_nothing(desk: Desk) -> None:
    for _ in range(7):
        desk.call("open", query=LINEAR, priority=Priority.OPEN)
    late = desk.call("late", query=LINEAR, priority=Priority.OPEN, patience=0.5)
    await desk.clock.advance(0.5)
    assert isinstance(late.exception(), RateLimited)
    assert desk.count("late") == 0
    for _ in range(3):
        desk.call("hedge", query=LINEAR, priority=Priority.REDUCE)
    await desk.settle()
    assert desk.count("hedge") == 3


async def test_who_is_called_off_leaves_the_turn_to_the_next(desk: Desk) -> None:
    silence = asyncio.Event()
    running = [desk.call("read", "get_executions", answers=silence) for _ in range(5)]
    off = desk.call("off", "get_executions")
    desk.call("next", "get_executions")
    await desk.settle()
    off.cancel()
    running[0].cancel()
    await desk.settle()
    assert (desk.count("off"), desk.count("next")) == (0, 1)
