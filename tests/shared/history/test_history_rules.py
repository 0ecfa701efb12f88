"""The stated rules of the sample's products, and files that state nonsense."""

from decimal import Decimal
from pathlib import Path

import pytest

from shared.history.files import read_history
from shared.history.records import MalformedHistory
from shared.history.rules import ProductRules, read_rules, sample_rules

GOOD = """
[linear.BTCUSDT]
base = "BTC"
quote = "USDT"
tick = "0.1"
step = "0.001"
min_qty = "0.001"
max_qty = "10"
min_notional = "5"
taker_fee = "0.00055"
maker_fee = "0.0002"
max_leverage = "10"
maintenance_rate = "0.01"
half_spread_bps = "1"
level_notional = "50000"
launch_ms = 0
funding_cap = "0.00375"
"""


def linear_rules() -> dict[str, ProductRules]:
    return {rule.symbol: rule for rule in sample_rules() if rule.category == "linear"}


def test_the_sample_states_both_legs_of_five_pairs() -> None:
    coins = ["BNB", "BTC", "ETH", "SOL", "XRP"]
    stated = [(rule.category, rule.symbol, rule.base, rule.quote) for rule in sample_rules()]
    assert stated == [
        (category, f"{coin}USDT", coin, "USDT") for category in ("linear", "spot") for coin in coins
    ]


def test_fees_are_those_of_an_account_without_a_tier() -> None:
    fees = {(rule.category, rule.taker_fee, rule.maker_fee) for rule in sample_rules()}
    assert fees == {
        ("spot", Decimal("0.001"), Decimal("0.001")),
        ("linear", Decimal("0.00055"), Decimal("0.0002")),
    }


def test_linear_half_spreads_are_half_of_the_recorded_quoted_spreads() -> None:
    quoted = {rule.symbol: 2 * rule.half_spread_bps for rule in linear_rules().values()}
    assert quoted == {
        "BNBUSDT": Decimal("0.86"),
        "BTCUSDT": Decimal("0.016"),
        "ETHUSDT": Decimal("0.029"),
        "SOLUSDT": Decimal("0.68"),
        "XRPUSDT": Decimal("2.09"),
    }


def test_every_recorded_close_lies_on_its_products_grid() -> None:
    ticks = {(rule.category, rule.symbol): rule.tick for rule in sample_rules()}
    off = [
        (symbol, bar.at_ms)
        for symbol, history in read_history().symbols.items()
        for bar in history.bars
        if bar.perp % ticks["linear", symbol] or bar.spot % ticks["spot", symbol]
    ]
    assert off == []


def test_no_recorded_rate_exceeds_the_stated_cap() -> None:
    caps = {symbol: rule.funding_cap for symbol, rule in linear_rules().items()}
    beyond = [
        (symbol, settled)
        for symbol, history in read_history().symbols.items()
        for settled in history.settlements
        if abs(settled.rate) > (caps[symbol] or 0)
    ]
    assert beyond == []


def test_every_product_was_launched_before_the_sample_begins() -> None:
    assert max(rule.launch_ms for rule in sample_rules()) < 1_656_633_600_000


def test_a_stated_number_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(GOOD)
    (rule,) = read_rules(path)
    assert str(rule.taker_fee) == "0.00055"
    assert rule.launch_ms == 0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('tick = "0.1"', "tick = 0.1", "tick = 0.1 is no positive decimal in quotes"),
        ('tick = "0.1"', 'tick = "0"', "tick = '0' is no positive decimal"),
        ('tick = "0.1"', 'tick = "NaN"', "tick = 'NaN' is no positive decimal"),
        ('tick = "0.1"', 'tick = "small"', "tick = 'small' is no positive decimal"),
        ('tick = "0.1"', "", "tick"),
        ('tick = "0.1"', 'tick = "1"\ncolour = "1"', "colour"),
        ('funding_cap = "0.00375"', "", "funding_cap belongs to linear products"),
        ("[linear.BTCUSDT]", "[spot.BTCUSDT]", "funding_cap belongs to linear products"),
        ("[linear.BTCUSDT]", "[inverse.BTCUSDT]", "states no product"),
        ("[linear.BTCUSDT]", "[linear.BTCUSDT", "write the file again"),
    ],
)
def test_a_senseless_file_is_refused_by_field(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(MalformedHistory) as caught:
        read_rules(path)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedHistory, match=r"rules\.toml"):
        read_rules(tmp_path / "rules.toml")
