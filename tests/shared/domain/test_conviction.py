"""Conviction: each part by hand, and the sum."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conviction import PARTS, Parts, parts_of
from shared.domain.policy import CarryPolicy

ONE, ZERO = Decimal(1), Decimal(0)


def parts(**changes: str) -> Parts:
    given = {
        "value": "0.0152", "cost": "0.0037", "persistence": "0.9", "slope": "0", "slope_p": "1",
        "z_score": "0", "loss_probability": "0.1", **changes,
    }  # fmt: skip
    return parts_of(**{name: Decimal(text) for name, text in given.items()})


@pytest.mark.parametrize(
    ("changes", "part", "expected"),
    [
        ({}, "value", "0.804232804233"),  # 152 of 189
        ({"value": "-0.001"}, "value", "0"),
        ({"cost": "-0.0001"}, "value", "1"),
        ({}, "persistence", "0.9"),
        ({}, "trend", "0.5"),  # nothing is known of a flat line
        ({"slope": "0.0001", "slope_p": "0.04"}, "trend", "0.98"),
        ({"slope": "-0.0001", "slope_p": "0.04"}, "trend", "0.02"),
        ({"z_score": "-2"}, "reversion", "1"),
        ({"z_score": "3"}, "reversion", "0.25"),
        ({}, "safety", "0.9"),
    ],
)
def test_each_part_says_what_its_name_says(
    changes: dict[str, str], part: str, expected: str
) -> None:
    assert getattr(parts(**changes), part) == Decimal(expected)


def test_conviction_is_the_weighted_sum_of_its_parts() -> None:
    some = Parts(*map(Decimal, ("0.8", "0.9", "0.5", "1", "0.7")))
    # 0.30 x 0.8 + 0.25 x 0.9 + 0.15 x 0.5 + 0.10 x 1 + 0.20 x 0.7
    assert some.weighed(CarryPolicy().weights) == Decimal("0.78")


def test_the_policy_weighs_every_part_and_no_other() -> None:
    assert set(CarryPolicy().weights) == set(PARTS)


numbers = st.decimals("-2", "2", places=6)


@given(numbers, numbers, numbers, numbers, st.decimals("0", "1", places=6), numbers, numbers)
def test_conviction_lies_between_zero_and_one_whatever_the_numbers(
    value: Decimal, cost: Decimal, stays: Decimal, slope: Decimal, p: Decimal, z: Decimal,
    loss: Decimal,
) -> None:  # fmt: skip
    made = parts_of(
        value=value,
        cost=cost,
        persistence=stays,
        slope=slope,
        slope_p=p,
        z_score=z,
        loss_probability=loss,
    )
    assert all(ZERO <= getattr(made, name) <= ONE for name in PARTS)
    assert ZERO <= made.weighed(CarryPolicy().weights) <= ONE
