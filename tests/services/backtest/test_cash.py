"""Cash beside the run: simple interest on the same capital over the same days."""

from decimal import Decimal
from typing import Any

import pytest

from services.backtest.cash import join_cash


def page() -> dict[str, Any]:
    return {"curve": {"at": ["2023-01-01", "2023-07-02 12:00", "2024-01-01"]}, "notices": []}


def test_half_a_year_is_half_the_interest() -> None:
    made = page()
    join_cash(made, {"deposit": "100000", "net": "2000"}, Decimal("0.05"))
    assert made["curve"]["cash"] == pytest.approx([100_000, 102_500, 105_000])
    assert made["cash"] == "Cash 5.0\u202f%"


@pytest.mark.parametrize(
    ("net", "kind", "word"), [("5000.01", "plain", "less"), ("5000", "warn", "more")]
)
def test_what_cash_would_have_earned_is_said_and_warned_of_when_it_is_more(
    net: str, kind: str, word: str
) -> None:
    made = page()
    join_cash(made, {"deposit": "100000", "net": net}, Decimal("0.05"))
    (notice,) = made["notices"]
    assert notice["kind"] == kind
    assert f"would have earned +5,000.00 USDT in these days, {word} than" in notice["says"]
