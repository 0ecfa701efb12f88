"""Prices of flattering assumptions, from trades small enough to price by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.backtest.honesty import Assumption, flattering, not_assumed, priced_in
from services.backtest.trades import Breakdown, Move
from shared.domain.instrument import Category
from shared.domain.profit import Parts
from shared.history.records import HOUR_MS, Bar, History, SymbolHistory

AT = datetime(2024, 1, 1, 8, 1, tzinfo=UTC)
FIRST = int(datetime(2024, 1, 1, 8, tzinfo=UTC).timestamp()) * 1000


def bar(hour: int, spot: str, perp: str) -> Bar:
    return Bar(FIRST + hour * HOUR_MS, Decimal(spot), Decimal(perp), Decimal(perp))


def history() -> History:
    """One coin: 100 / 101 at eight, 104 / 104.5 at nine, the last hour."""
    bars = (bar(0, "100", "101"), bar(1, "104", "104.5"))
    return History({"BTCUSDT": SymbolHistory("BTCUSDT", bars, ())})


def move(category: Category, moved: str, reference: str, at: datetime = AT) -> Move:
    return Move("BTCUSDT", category, at, Decimal(moved), Decimal(reference), Decimal("-0.5"))


FOUND = Breakdown(
    trades=(),
    moves=(move(Category.SPOT, "2", "100"), move(Category.LINEAR, "-2", "101")),
    parts=Parts(funding=Decimal(50), basis=Decimal(3), fees=Decimal(-10), slippage=Decimal(-1)),
    dust=Decimal(0),
    exit_costs=Decimal(6),
    unexplained=Decimal(0),
)


def effects(assumptions: tuple[Assumption, ...]) -> dict[str, Decimal | None]:
    return {a.key: a.effect for a in assumptions}


def test_each_assumption_has_its_price_and_what_cannot_be_priced_has_none() -> None:
    assert effects(flattering(FOUND, history())) == {
        "constant_spread": Decimal(-2),  # three times 1 of slippage is 2 more
        # An hour later the coin costs 4 more, and the short is sold 3.5 higher: 2 of each.
        "filled_at_once": Decimal("-1.0"),
        "open_pairs_marked": Decimal(-6),
        "fees_as_stated": Decimal("-5.0"),
        "no_faults": None,
        "survivors": None,
        "no_deleveraging": None,
    }


def test_all_prices_together_are_what_is_left_of_the_net() -> None:
    # 42 less 2, 1, 6 and 5.
    assert priced_in(Decimal(42), flattering(FOUND, history())) == 28


def test_what_is_not_left_out_is_told_with_what_it_would_have_added() -> None:
    assert effects(not_assumed(FOUND)) == {
        "fees": Decimal(10),
        "half_spread": Decimal(1),
        "basis": Decimal(-3),
    }


def test_a_fill_in_the_last_hour_has_no_later_price_and_changes_nothing() -> None:
    last = (move(Category.SPOT, "2", "104", AT + timedelta(hours=1)),)
    found = Breakdown((), last, Parts(), Decimal(0), Decimal(0), Decimal(0))
    assert effects(flattering(found, history()))["filled_at_once"] == 0
