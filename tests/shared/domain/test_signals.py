"""Distributions as the core reads them."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.signals import Signals, share_below, standing
from tests.support.markets import signals


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ("-1", "0"),
        ("0", "0"),  # the least outcome is not under itself
        ("1", "0.25"),
        ("1.5", "0.375"),  # half way from the first quartile to the median
        ("2", "0.5"),
        ("6", "0.75"),
        ("10", "1"),
        ("10.1", "1"),
    ],
)
def test_the_share_under_a_value_is_linear_between_quantiles(value: str, share: str) -> None:
    quartiles = tuple(map(Decimal, ("0", "1", "2", "6", "10")))
    assert share_below(quartiles, Decimal(value)) == Decimal(share)


def test_outcomes_that_are_all_alike_lie_under_what_is_greater_and_not_under_themselves() -> None:
    alike = (Decimal(3),) * 3
    assert [share_below(alike, Decimal(v)) for v in (2, 3, 4)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("-1", "0"),
        ("0", "0.25"),  # the least half of all: none is under it, and half of them count
        ("1", "0.625"),  # half way from the median to the third quartile
        ("2", "0.875"),  # the greatest quarter: three quarters under it, half of a quarter more
        ("3", "1"),
    ],
)
def test_a_level_stands_above_those_under_it_and_half_of_its_equals(value: str, place: str) -> None:
    levels = tuple(map(Decimal, ("0", "0", "0", "2", "2")))
    assert standing(levels, Decimal(value)) == Decimal(place)


@pytest.mark.parametrize("name", [f.name for f in fields(Signals) if f.name != "as_of"])
def test_signals_that_lack_one_number_are_not_complete(name: str) -> None:
    assert signals().is_complete
    lacking: dict[str, Any] = {name: None}
    assert not replace(signals(), **lacking).is_complete
