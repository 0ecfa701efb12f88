"""Liquidation lines against brute-force revaluation by the venue's own rules; reserve by hand."""

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.margin import (
    Account,
    Exposure,
    LiquidationLine,
    MarginAction,
    Scenario,
    liquidation_line,
    margin_actions,
    notional_within,
    stressed,
    tail_reserve_rate,
)
from shared.venue.margin import Collateral, CollateralTier, account_margin
from shared.venue.records import Position
from shared.venue.rules import Rule

ZERO = Decimal(0)


def exposure(
    pair: str = "BTCUSDT", quantity: str = "1", *, mark: str = "100", entry: str | None = None,
    collateral: str = "0.9", maintenance: str = "0.01", spot: str | None = None,
) -> Exposure:  # fmt: skip
    return Exposure(
        pair, Decimal(spot or quantity), -Decimal(quantity), Decimal(entry or mark), Decimal(mark),
        Decimal(collateral), Decimal(maintenance),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cash", "collateral", "maintenance", "borrow", "up"),
    [
        # Bybit V5 notes, 7.5: spot and short of 100 each.
        ("0", "0.90", "0.01", "0.04", "5.93"),  # 0.9 - 0.1 r = 0.01 (1 + r) + 0.04 r
        ("0", "0.60", "0.02", "0.05", "1.23"),  # 0.58 / 0.47
        ("20", "0", "0.01", "0", "0.188"),  # 0.19 / 1.01
    ],
)
def test_a_hedged_pair_breaks_where_the_venues_formulas_say(
    cash: str, collateral: str, maintenance: str, borrow: str, up: str
) -> None:
    of = exposure(collateral=collateral, maintenance=maintenance)
    line = liquidation_line(Account(Decimal(cash), (of,), Decimal(borrow)))
    assert line.up is not None
    assert round(line.up, len(up) - 2) == Decimal(up)
    assert line.down is None  # a fall does a hedged pair no harm


def test_a_naked_spot_leg_alone_is_never_liquidated_and_a_naked_short_is_by_a_rise() -> None:
    spot = Exposure("A", Decimal(1), ZERO, Decimal(100), Decimal(100), Decimal("0.9"), ZERO)
    assert liquidation_line(Account(Decimal(10), (spot,))) == LiquidationLine(None, None)
    short = Exposure(
        "A", ZERO, Decimal(-1), Decimal(100), Decimal(100), Decimal("0.9"), Decimal("0.01")
    )
    line = liquidation_line(Account(Decimal(21), (short,)))
    # 21 - 100 r = 1 + r
    assert line == LiquidationLine(Decimal("0.198019801980"), None)


def test_a_naked_long_is_liquidated_by_a_fall() -> None:
    long = Exposure("A", ZERO, Decimal(1), Decimal(100), Decimal(100), ZERO, Decimal("0.01"))
    line = liquidation_line(Account(Decimal(21), (long,)))
    # 21 + 100 r = 1 + r: r = -20 / 99
    assert line == LiquidationLine(None, Decimal("-0.202020202020"))


def test_an_account_without_headroom_is_at_its_line_already() -> None:
    of = exposure(collateral="0", maintenance="0.01")
    assert liquidation_line(Account(Decimal(1), (of,))) == LiquidationLine(ZERO, ZERO)


def brute_force(account: Account, moved: set[str], upward: bool) -> Decimal | None:
    """Bisect on the venue's own revaluation of the whole account."""
    low, high = ZERO, Decimal(200) if upward else Decimal("-0.999999")
    if not is_liquidated(account, moved, high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if is_liquidated(account, moved, middle) else (middle, high)
    return high


def is_liquidated(account: Account, moved: set[str], move: Decimal) -> bool:
    marks = {e.pair: e.mark_price * (1 + move if e.pair in moved else 1) for e in account.exposures}
    wallet = {"USDT": account.cash} | {e.pair: e.spot_quantity for e in account.exposures}
    positions = [
        (
            Position(e.pair, e.perp_quantity, -e.perp_quantity * e.entry_price, Decimal(10)),
            marks[e.pair],
            rule(e.pair, e.maintenance),
        )
        for e in account.exposures
    ]
    tiers = {e.pair: (CollateralTier(None, e.collateral),) for e in account.exposures}
    return account_margin(wallet, marks, positions, [], Collateral(tiers)).is_exhausted


def rule(symbol: str, maintenance: Decimal) -> Rule:
    one = Decimal(1)
    return Rule(
        "linear", symbol, symbol, "USDT", one, one, one, one, one, ZERO, ZERO,
        maintenance_rate=maintenance,
    )  # fmt: skip


numbers = st.decimals("0.1", "5", places=2)
shares = st.decimals("0", "0.95", places=2)
rates = st.decimals("0.005", "0.1", places=3)


@settings(max_examples=100, deadline=None)
@given(
    st.decimals("0", "500", places=0),
    st.lists(st.tuples(numbers, numbers, numbers, shares, rates), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_the_line_is_that_of_brute_force_revaluation(
    cash: Decimal,
    rows: list[tuple[Decimal, Decimal, Decimal, Decimal, Decimal]],
    one_pair: bool,
    upward: bool,
) -> None:
    exposures = tuple(
        Exposure(f"P{n}", spot, -perp, 100 * entry, Decimal(100), backs, maintained)
        for n, (spot, perp, entry, backs, maintained) in enumerate(rows)
    )
    account = Account(cash, exposures)
    moved = {"P0"} if one_pair else {e.pair for e in exposures}
    assume(not is_liquidated(account, moved, ZERO))
    line = liquidation_line(account, moved)
    found = line.up if upward else line.down
    tried = brute_force(account, moved, upward)
    if tried is None:
        assert found is None or abs(found) > (Decimal(199) if upward else Decimal("0.9999"))
    else:
        assert found is not None
        assert abs(found - tried) <= abs(tried) / 1000


def test_the_greatest_notional_is_liquidated_exactly_at_the_distance() -> None:
    terms = [Decimal(text) for text in ("100000", "0.5", "0.9", "0.02", "0.05")]
    most = notional_within(*terms)
    of = exposure(quantity=str(most / 100), collateral="0.9", maintenance="0.02")
    line = liquidation_line(Account(Decimal(100_000) - most, (of,), Decimal("0.05")))
    assert line.up is not None
    assert abs(line.up - Decimal("0.5")) < Decimal("1e-6")
    assert most == Decimal("411764.705882352941")  # 105,000 / (1.5 x 0.17)


@pytest.mark.parametrize(
    ("worst", "intervals", "rate"),
    [
        ("-0.0075", "1", "0.0125"),  # 75 bps once, and 50 of slippage
        ("-0.0075", "1.5", "0.02"),  # a begun interval counts
        ("-0.0075", "4", "0.035"),
        ("0.0001", "4", "0.005"),  # a rate that was never negative costs nothing
    ],
)
def test_the_tail_reserve_is_the_worst_funding_while_unwinding_and_its_slippage(
    worst: str, intervals: str, rate: str
) -> None:
    reserve = tail_reserve_rate(Decimal(worst), Decimal(intervals), Decimal("0.005"))
    assert reserve == Decimal(rate)


def test_a_bad_day_is_priced_in_money_and_in_what_is_left_of_the_line() -> None:
    # 100 of each leg, 50 in cash; 60 % up, three settlements at -2 %, unwinding costs 1 %.
    account = Account(Decimal(50), (exposure(collateral="0.9"),))
    bad = stressed(
        account, Scenario(Decimal("0.6"), {"BTCUSDT": Decimal("-0.02")}, 3, Decimal("0.01"))
    )
    # The move nets out; funding 160 x 0.06 = 9.6, unwinding 1.6.
    assert bad.result == Decimal("-11.2")
    # Cash 40.4, short at -60, spot 160: 40.4 - 60 + 144 - 1.6 = 122.8 over 160 x (1 - 0.9 + 0.01).
    assert bad.line.up == Decimal("6.977272727273")


def test_what_is_not_hedged_pays_for_the_move() -> None:
    account = Account(Decimal(50), (exposure(quantity="1", spot="0.9"),))
    bad = stressed(account, Scenario(Decimal("0.1"), {}, 0, ZERO))
    assert bad.result == Decimal("-1")  # a tenth of a coin short, up by ten


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        # Maintenance of 60 at half: a balance of 120 is asked.
        ("120", ()),
        ("115", (("add_margin", "5"),)),
        ("105", (("add_margin", "10"), ("trim_both_legs", "2.5"))),
        ("80", (("add_margin", "10"), ("trim_both_legs", "10"), ("move_funds", "10"))),
        ("20", (("add_margin", "10"), ("trim_both_legs", "10"), ("move_funds", "40"))),
    ],
)
def test_margin_is_added_then_both_legs_are_trimmed_then_funds_are_moved(
    balance: str, expected: tuple[tuple[str, str], ...]
) -> None:
    actions = margin_actions(
        balance=Decimal(balance),
        maintenance=Decimal(60),
        rate_max=Decimal("0.5"),
        spare=Decimal(10),
        trim_most=Decimal(10),
        elsewhere=Decimal(40),
    )
    assert actions == tuple((MarginAction(name), Decimal(amount)) for name, amount in expected)
