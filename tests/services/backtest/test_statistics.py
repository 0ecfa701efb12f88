"""A3 and A5 in words, by hand."""

from datetime import timedelta
from decimal import Decimal

from services.backtest.source import source
from services.backtest.statistics import basis_now, lasting
from shared.history.records import HOUR_MS, Bar, Settlement, SymbolHistory

JULY = 1_656_633_600_000  # 2022-07-01 00:00 UTC


def paid(*rates: str) -> SymbolHistory:
    settled = (Settlement(JULY + 8 * n * HOUR_MS, Decimal(rate), 8) for n, rate in enumerate(rates))
    return SymbolHistory("AUSDT", (), tuple(settled))


def test_how_lasting_funding_was() -> None:
    # Costs of 0.003 over 10 days are 0.0001 at each of 30 settlements.
    rates = ("0.0002", "0.0001", "0.0003", "-0.0001", "0.0002")
    assert lasting(paid(*rates), Decimal("0.003"), timedelta(days=10)) == (
        "positive after positive 67%; runs of 2, at most 3; earns the costs of 10 days at 60% of "
        "settlements; best month 100% of all"
    )
    assert lasting(paid("-0.0001"), Decimal("0.003"), timedelta(days=10)) == (
        "never positive; runs of 0, at most 0; earns the costs of 10 days at 0% of settlements; "
        "no gain"
    )
    assert lasting(paid(), Decimal("0.003"), timedelta(days=10)) == "no settlement"


def test_where_the_basis_stands_in_its_record() -> None:
    perps = ("99.96", "99.98", "100", "100.02", "100.04")
    spot = Decimal(100)
    bars = [Bar(JULY + n * HOUR_MS, spot, Decimal(perp), spot) for n, perp in enumerate(perps)]
    found = basis_now(SymbolHistory("AUSDT", tuple(bars), ()))
    assert found == "basis +0.040% of spot, higher than 90% of its hours"  # itself half: 4.5 of 5
    assert basis_now(SymbolHistory("AUSDT", tuple(bars[:1]), ())) == "no basis"


def test_a_round_trip_crosses_both_spreads_and_pays_both_fees_twice() -> None:
    # The sample's SOL: takers 0.1 % and 0.055 %, half spreads 2 and 0.34 hundredths of a percent.
    assert source(None, "SOLUSDT").costs("SOLUSDT") == 2 * (
        Decimal("0.001") + Decimal("0.00055") + Decimal("0.0002") + Decimal("0.000034")
    )
