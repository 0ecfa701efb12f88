"""A hedge that has drifted comes back into its band, at one leg's cost (F:R5).

One bitcoin at 9,999.5 / 10,000.5 on both books; takers pay 0.1 % spot and 0.055 % linear. The
cheaper way back is to trade the leg that is too long, and that one alone.
"""

from decimal import Decimal

import pytest

from shared.store.pool import WritePool
from shared.venue.records import OrderRequest
from tests.support.executor import Rig, running, venue

LOT = Decimal("0.001")


async def drifted(rig: Rig, category: str, side: str, quantity: str) -> None:
    """Open one bitcoin, then let somebody trade one leg alone."""
    await rig.want("1")
    await rig.finished(1)
    price = "9999.5" if side == "Sell" else "10000.5"
    rig.gateway.exchange.place(
        OrderRequest(
            category, "BTCUSDT", side, "Limit", Decimal(quantity), Decimal(price),
            reduce_only=category == "linear",
        )
    )  # fmt: skip
    rig.gateway.push()


@pytest.mark.parametrize(
    ("category", "side", "spot", "perp", "fee", "traded"),
    [
        # 3 % of the short is bought back: 0.03 coins are sold, 0.03 * 9,999.5 * 0.001 USDT.
        ("linear", "Buy", "0.970000998", "-0.97", "0.299985", ("spot", "Sell")),
        # 3 % of the coins are sold: 0.03 of the short go, 0.03 * 10,000.5 * 0.00055 USDT.
        ("spot", "Sell", "0.970000998", "-0.97", "0.16500825", ("linear", "Buy")),
    ],
    ids=["too many coins", "too much of the short"],
)
async def test_r5_a_drift_of_3_percent_is_traded_back_into_the_band_and_its_cost_is_booked(
    pool: WritePool, category: str, side: str, spot: str, perp: str, fee: str,
    traded: tuple[str, str],
) -> None:  # fmt: skip
    async with running(pool, venue()) as rig:
        await drifted(rig, category, side, "0.03")
        plans = await rig.finished(2)
        assert (plans[1]["state"], plans[1]["reason"]) == ("hedged", "residual")
        desk = rig.parts.executor.desks["BTCUSDT"]
        position = desk.position
        assert (position.spot_quantity, position.perp_quantity) == (Decimal(spot), Decimal(perp))
        assert abs(position.net_delta) <= LOT
        assert desk.is_hedged
        fills = await rig.rows(
            "SELECT category, side, quantity, fee, fee_currency FROM execution.fill"
            " WHERE plan_id = $1", plans[1]["id"],
        )  # fmt: skip
        assert [tuple(fill.values()) for fill in fills] == [
            (*traded, Decimal("0.03"), Decimal(fee), "USDT")
        ]
        booked = await rig.rows(
            "SELECT e.amount FROM ledger.entry e JOIN ledger.posting_group g ON g.id = e.group_id"
            " JOIN execution.fill f ON f.exec_id = g.exec_id AND f.plan_id = $1"
            " WHERE e.account = 'fees' AND e.asset = 'USDT'", plans[1]["id"],
        )  # fmt: skip
        assert [entry["amount"] for entry in booked] == [Decimal(fee)]
        assert await rig.ledger_difference() == {}


async def test_r5_a_drift_inside_the_band_is_left_alone(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await drifted(rig, "spot", "Sell", "0.001")
        desk = rig.parts.executor.desks["BTCUSDT"]
        await rig.until(lambda: desk.position.spot_quantity == Decimal("0.999000998"))
        await rig.parts.residuals.look()
        assert desk.is_hedged
        assert len(await rig.rows("SELECT id FROM execution.plan")) == 1
