"""Kelly, the least of named limits, and the lot both legs can hold."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO
from shared.domain.sizing import kelly_share, size_within
from tests.support.markets import instrument, pair

PRICES = (Decimal(100), Decimal(100))


@pytest.mark.parametrize(
    ("edge", "variance", "conviction", "share"),
    [
        # A quarter of 0.004 / 0.01 is 0.1; half of it with a conviction of one half.
        ("0.004", "0.01", "1", "0.1"),
        ("0.004", "0.01", "0.5", "0.05"),
        ("0.04", "0.01", "0.5", "0.125"),  # the full share of 1 is capped at 0.25
        ("0.04", "0", "0.8", "0.2"),
        ("0", "0.01", "1", "0"),
        ("-0.01", "0", "1", "0"),
    ],
)
def test_kelly_takes_a_fraction_of_edge_over_variance_capped(
    edge: str, variance: str, conviction: str, share: str
) -> None:
    quarter = Decimal("0.25")
    found = kelly_share(Decimal(edge), Decimal(variance), quarter, quarter, Decimal(conviction))
    assert found == Decimal(share)


def test_the_least_limit_binds_and_is_floored_to_the_coarser_step() -> None:
    size = size_within({"a": Decimal("0.9999"), "b": Decimal("1.2")}, pair(), PRICES)
    assert (size.quantity, size.binding_limit) == (Decimal("0.999"), "a")


def test_of_equal_limits_the_first_by_name_binds() -> None:
    limits = {"z": Decimal(1), "a": Decimal(1)}
    assert size_within(limits, pair(), PRICES).binding_limit == "a"


@pytest.mark.parametrize(
    ("category", "changes", "smallest"),
    [
        (Category.SPOT, {"min_notional": Decimal(50)}, "0.5"),
        (Category.LINEAR, {"min_notional": Decimal(50)}, "0.5"),
        (Category.SPOT, {"min_quantity": Decimal("0.7")}, "0.7"),
        (Category.LINEAR, {"min_quantity": Decimal("0.7")}, "0.7"),
    ],
)
def test_what_either_leg_cannot_hold_is_no_trade(
    category: Category, changes: dict[str, Any], smallest: str
) -> None:
    of = pair()
    legs = {c: replace(leg, **(changes if c is category else {}))
            for c, leg in ((Category.SPOT, of.spot), (Category.LINEAR, of.perp))}  # fmt: skip
    made = Pair(legs[Category.SPOT], legs[Category.LINEAR])
    just = Decimal(smallest)
    assert size_within({"a": just}, made, PRICES).quantity == just
    assert size_within({"a": just - Decimal("0.001")}, made, PRICES).quantity == ZERO


def test_a_limit_under_zero_is_no_trade() -> None:
    assert size_within({"a": Decimal(-3)}, pair(), PRICES).quantity == ZERO


steps = st.sampled_from(["0.0001", "0.001", "0.01", "0.1", "1"])
amounts = st.decimals("0", "100", places=3)


@settings(max_examples=1_000)
@given(
    steps, steps, amounts, amounts, amounts, amounts, amounts, st.decimals("0.01", "9", places=2)
)
def test_a_size_fits_both_lots_and_both_minima_or_is_nothing(
    spot_step: str, perp_step: str, spot_least: Decimal, perp_least: Decimal,
    spot_notional: Decimal, perp_notional: Decimal, limit: Decimal, price: Decimal,
) -> None:  # fmt: skip
    made = Pair(
        instrument(Category.SPOT, step=spot_step, min_quantity=spot_least,
                   min_notional=spot_notional),
        instrument(Category.LINEAR, step=perp_step, min_quantity=perp_least,
                   min_notional=perp_notional),
    )  # fmt: skip
    got = size_within({"a": limit}, made, (price, price)).quantity
    lot = max(Decimal(spot_step), Decimal(perp_step))
    fits = (
        limit // lot * lot >= max(spot_least, perp_least)
        and limit // lot * lot * price >= max(spot_notional, perp_notional)
    )  # fmt: skip
    assert got == (limit // lot * lot if fits else ZERO)
