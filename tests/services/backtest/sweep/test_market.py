"""What a sweep reads, and what it refuses by name."""

from decimal import Decimal

import numpy as np
import pytest

from services.backtest.sweep.market import market_of
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import ParameterSet, Terms
from shared.domain.errors import Misconfigured
from shared.history.records import (
    HOUR_MS,
    Bar,
    History,
    MalformedHistory,
    Settlement,
    SymbolHistory,
)
from tests.services.backtest.sweep.markets import steady

ONE = ParameterSet(1, Decimal("0.0001"), Decimal(0), 9)


def history(hours: list[int], rate: str = "0.0001") -> History:
    bars = tuple(
        Bar(h * HOUR_MS, Decimal("100.5"), Decimal("100.25"), Decimal("100.3")) for h in hours
    )
    paid = tuple(Settlement(h * HOUR_MS, Decimal(rate), 8) for h in (0, 8, 16))
    return History({"ABCUSDT": SymbolHistory("ABCUSDT", bars, paid)})


def test_rates_before_the_span_warm_the_signal_up_and_later_ones_settle() -> None:
    market = market_of(history(list(range(4, 20))), 6 * HOUR_MS, 17 * HOUR_MS)
    assert market.start_ms == 6 * HOUR_MS
    assert market.hours == 11
    assert market.at.tolist() == [-1, 2, 10]
    assert market.rate.tolist() == [[100_000_000] * 3]
    assert market.spot[0, 0] == 10_050_000_000
    assert market.mark[0, 0] == 10_030_000_000


def test_a_hole_is_refused_by_symbol_and_hour() -> None:
    with pytest.raises(MalformedHistory, match=r"ABCUSDT: the hour .*1970-01-01T10:00.* missing"):
        market_of(history([8, 9, 11, 12]), 0, 100 * HOUR_MS)


def test_a_span_without_bars_and_a_rate_too_fine_are_refused() -> None:
    with pytest.raises(MalformedHistory, match="no bar"):
        market_of(history([8, 9]), 50 * HOUR_MS, 60 * HOUR_MS)
    with pytest.raises(Misconfigured, match=r"ABCUSDT: the rate .* more than 12 decimals"):
        market_of(history([8, 9], rate="0.00000000000012"), 0, 60 * HOUR_MS)


def test_what_would_outgrow_the_integers_is_refused_by_symbol() -> None:
    market = steady([[10_000, 10_000]])
    market.spot[0, 3] = 1
    with pytest.raises(Misconfigured, match=r"C00USDT .* beyond fixed point"):
        sweep(market, [ONE])


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (ParameterSet(0, Decimal(0), Decimal(0), 1), "span 0"),
        (ParameterSet(1, Decimal(0), Decimal(0), 0), "hold 0"),
        (ParameterSet(1, Decimal(2), Decimal(0), 1), "entry 2"),
        (ParameterSet(1, Decimal(0), Decimal("1e-13"), 1), "exit 1E-13 has more than 12"),
    ],
)
def test_a_set_out_of_range_is_refused_by_value(one: ParameterSet, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        sweep(steady([[1]]), [one])


@pytest.mark.parametrize(
    "terms",
    [
        {"notional": Decimal(0)}, {"cap": 0}, {"slippage": Decimal(-1)}, {"spot_fee": Decimal(1)},
        {"capital": Decimal(0)},
    ],
)  # fmt: skip
def test_senseless_terms_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        Terms(**terms)  # type: ignore[arg-type]


def test_the_digest_changes_with_one_unit_of_one_price() -> None:
    one, other = steady([[1, 2]]), steady([[1, 2]])
    assert one.digest() == other.digest()
    other.mark[0, 5] += 1
    assert one.digest() != other.digest()


def test_a_day_ends_with_the_hour_that_closes_at_midnight() -> None:
    market = steady([[1] * 6])  # 48 hours from 01:00 to 24:00 of the next day
    assert market.day_ends.tolist() == [23, 47]
    assert market.days == (1_700_006_400_000, 1_700_006_400_000 + 86_400_000)
    assert np.diff(market.days).tolist() == [86_400_000]
