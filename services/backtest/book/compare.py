"""Where a published run and its booking here part: the first place and the largest, per figure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.backtest.book.booking import BookedTrade
from services.backtest.book.records import SPOT, STATED, Leg, ListedTrade
from services.backtest.book.tables import moment
from shared.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that differs: where, what was published, what it is here."""

    place: str
    published: Decimal
    ours: Decimal

    @property
    def size(self) -> Decimal:
        """How far apart they are."""
        return abs(self.published - self.ours)


@dataclass(frozen=True, slots=True)
class Check:
    """One figure over all rows: how many were compared, how many differ by more than allowed."""

    figure: str
    compared: int
    differing: int
    first: Difference | None
    largest: Difference | None


def check(
    figure: str, compared: Iterable[tuple[str, Decimal, Decimal]], tolerance: Decimal
) -> Check:
    """Return the check of (place, published, ours), in the order of the file."""
    count = differing = 0
    first: Difference | None = None
    largest: Difference | None = None
    for place, published, ours in compared:
        count += 1
        found = Difference(place, published, ours)
        if largest is None or found.size > largest.size:
            largest = found
        if found.size > tolerance:
            differing += 1
            first = first or found
    return Check(figure, count, differing, first, largest)


def check_trades(booked: Sequence[BookedTrade], tolerance: Decimal) -> list[Check]:
    """Return a check of every figure that the trade list states, and of how shorts are sized."""
    checks = [
        check(
            name,
            (
                (_place(b.trade), b.trade.stated[name], b.ours[name])
                for b in booked
                if name in b.trade.stated and name in b.ours
            ),
            tolerance,
        )
        for name in STATED
    ]
    return [*checks, check("short sized with the long's open value", _sized(booked), tolerance)]


def check_payments(
    published: Mapping[tuple[int, Leg], Decimal],
    ours: Mapping[tuple[int, Leg], Decimal],
    tolerance: Decimal,
) -> list[Check]:
    """Return the check of payments in both, and of those that only one side has, against zero."""
    both = [key for key in published if key in ours]
    return [
        check("payment", ((_at(k), published[k], ours[k]) for k in both), tolerance),
        check(
            "payment published and not booked here",
            ((_at(k), published[k], ZERO) for k in published if k not in ours),
            Decimal(-1),
        ),
        check(
            "payment booked here and not published",
            ((_at(k), ZERO, ours[k]) for k in sorted(ours) if k not in published),
            Decimal(-1),
        ),
    ]


def payments_by_leg(booked: Iterable[BookedTrade]) -> dict[tuple[int, Leg], Decimal]:
    """Return all payments of a leg at an instant together."""
    found: dict[tuple[int, Leg], Decimal] = {}
    for one in booked:
        for payment in one.payments:
            key = (payment.at_ms, one.trade.leg)
            found[key] = found.get(key, ZERO) + payment.amount
    return found


def _sized(booked: Sequence[BookedTrade]) -> list[tuple[str, Decimal, Decimal]]:
    """Return each short that follows a spot long of its exchange, instant and margin."""
    found = []
    before: BookedTrade | None = None
    for one in booked:
        if before is not None and _is_pair(before.trade, one.trade):
            found.append((_place(one.trade), one.trade.size, before.open_value))
        before = one
    return found


def _is_pair(long: ListedTrade, short: ListedTrade) -> bool:
    return (
        (long.side, short.side, long.leg[2]) == ("long", "short", SPOT)
        and (long.leg[0], long.opened_ms, long.margin)
        == (short.leg[0], short.opened_ms, short.margin)
        and short.row == long.row + 1
    )


def _place(trade: ListedTrade) -> str:
    return f"row {trade.row}, {trade.side} {' '.join(trade.leg)} opened {moment(trade.opened_ms)}"


def _at(key: tuple[int, Leg]) -> str:
    return f"{' '.join(key[1])} {moment(key[0])}"
