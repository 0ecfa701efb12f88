"""The account's growth, by time and not by what was paid in: hand-worked numbers (L5)."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.equity import grown
from shared.store.pool import WritePool
from shared.venue.account import LogRow as VenueRow
from tests.support.executor import MS, Rig, running, venue
from tests.support.markets import INSTANT


@pytest.mark.parametrize(
    ("history", "growth"),
    [
        # 1,000 becomes 1,100; 1,000 is deposited; 2,100 becomes 2,310: ten per cent twice.
        ([("1000", "0"), ("1100", "100"), ("2310", "310")], "1.21"),
        # The same without the deposit.
        ([("1000", "0"), ("1100", "100"), ("1210", "210")], "1.21"),
        # A deposit alone earns nothing, nor does a withdrawal.
        ([("1000", "0"), ("5000", "0"), ("200", "0")], "1"),
        # Half is lost, then half is withdrawn, then it doubles.
        ([("1000", "0"), ("500", "-500"), ("250", "-500"), ("500", "-250")], "1"),
        # Books that open empty grow from their first deposit on.
        ([("0", "0"), ("100", "0"), ("105", "5")], "1.05"),
    ],
)
def test_l5_growth_counts_each_instant_on_the_capital_that_worked(
    history: list[tuple[str, str]], growth: str
) -> None:
    index, net = Decimal(1), Decimal(0)
    for equity, earned in history:
        index = grown(index, Decimal(equity), Decimal(earned) - net)
        net = Decimal(earned)
    assert index == Decimal(growth)


async def stored(rig: Rig, minutes: int) -> list[Decimal]:
    """Return equity, net and growth at ``minutes`` after the first instant, once recorded."""
    instant = INSTANT + timedelta(minutes=minutes)
    rig.quote(instant)
    async with asyncio.timeout(10):
        while True:
            rows = await rig.rows(
                "SELECT equity, net, growth FROM ledger.equity WHERE venue_at = $1", instant
            )
            if rows:
                return [Decimal(str(amount)) for amount in rows[0].values()]
            await asyncio.sleep(0.01)


async def test_l5_a_deposit_is_no_return_and_a_restart_goes_on_from_the_last_instant(
    pool: WritePool,
) -> None:
    exchange = venue(deposit="1000")

    def earn(amount: str) -> None:
        exchange._account._book(
            VenueRow(exchange.now_ms, "BONUS", "USDT", cash_flow=Decimal(amount))
        )

    async with running(pool, exchange) as rig:
        rig.stop_reading()
        assert await stored(rig, 1) == [1000, 0, 1]
        exchange.advance(MS + 60_000)
        earn("100")
        await rig.parts.bookkeeper.read()
        assert await stored(rig, 2) == [1100, 100, Decimal("1.1")]
    exchange.advance(MS + 120_000)
    exchange._account.deposit({"USDT": Decimal(1000)}, exchange.now_ms)
    earn("210")
    async with running(pool, exchange) as rig:
        assert await stored(rig, 3) == [2310, 310, Decimal("1.21")]
