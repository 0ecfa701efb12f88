"""What a fill does to a pair, and when both legs are one."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from shared.domain.instrument import Category
from shared.domain.order import Fill, Side
from shared.domain.position import PairPosition, after_fill
from tests.support.markets import pair


def fill(category: Category, side: Side, quantity: str, fee: str, currency: str) -> Fill:
    return Fill(
        category, "e", "BTCUSDT", side, Decimal(quantity), Decimal(10_000), Decimal(fee),
        currency, datetime(2023, 11, 11, tzinfo=UTC),
    )  # fmt: skip


def test_a_spot_buy_brings_its_quantity_less_the_fee_in_coin() -> None:
    bought = after_fill(PairPosition(), fill(Category.SPOT, Side.BUY, "2", "0.002", "BTC"), "BTC")
    assert bought == PairPosition(spot_quantity=Decimal("1.998"), spot_value=Decimal(-20_000))


def test_a_spot_sell_pays_its_fee_in_cash_and_leaves_the_coins_alone() -> None:
    held = PairPosition(spot_quantity=Decimal(2))
    sold = after_fill(held, fill(Category.SPOT, Side.SELL, "0.5", "5", "USDT"), "BTC")
    assert sold == PairPosition(spot_quantity=Decimal("1.5"), spot_value=Decimal(5_000))


def test_the_perpetual_is_signed_and_its_values_are_cash() -> None:
    short = after_fill(PairPosition(), fill(Category.LINEAR, Side.SELL, "2", "11", "USDT"), "BTC")
    assert short == PairPosition(perp_quantity=Decimal(-2), perp_value=Decimal(20_000))
    flat = after_fill(short, fill(Category.LINEAR, Side.BUY, "2", "11", "USDT"), "BTC")
    assert flat == PairPosition()


@pytest.mark.parametrize(
    ("spot", "price", "hedged"),
    [
        ("1.001", "10000", True),  # one lot of 0.001 is over 5 USDT and still hedged
        ("1.0011", "10000", False),
        ("1.0011", "4545", True),  # 0.0011 at 4,545 is 4.9995 USDT
        ("0.9989", "10000", False),
    ],
)
def test_a_residual_of_one_lot_or_five_dollars_is_hedged(
    spot: str, price: str, hedged: bool
) -> None:
    position = PairPosition(spot_quantity=Decimal(spot), perp_quantity=Decimal(-1))
    assert position.is_hedged(pair(), Decimal(price)) is hedged
