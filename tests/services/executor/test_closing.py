"""Closing again and again: one bitcoin at 9,999.5 / 10,000.5 on both legs."""

from datetime import timedelta
from decimal import Decimal

from shared.store.pool import WritePool
from tests.support.executor import running, venue
from tests.support.markets import INSTANT


async def test_a_close_asked_for_ten_times_goes_out_once(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        for minute in range(1, 11):
            await rig.want("0", minutes=minute)
            rig.quote(INSTANT + timedelta(minutes=minute))
            plans = await rig.finished(minute + 1)
            assert plans[minute]["state"] == "flat"
            assert exchange.positions["BTCUSDT"].size == 0
        assert [(t.category.value, t.side.value, t.reduce_only) for t in rig.gateway.placed] == [
            ("spot", "Buy", False),
            ("linear", "Sell", False),
            ("spot", "Sell", False),
            ("linear", "Buy", True),
        ]
        assert exchange.wallet["BTC"] == Decimal("0.000000998")  # dust, and never below zero
