"""Whether the venue's running balances lead from row to row, and end where our books do: pure.

A row may come late. Its balance is then that of its own place in the venue's order, not of the
moment it is booked: all rows of the window are put in the venue's order again, each row must begin
where the one before it ended, and the last one must end at our balance.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import groupby, pairwise
from operator import attrgetter

from shared.domain.log import LogRow
from shared.domain.money import ZERO, plain
from shared.domain.profit import WIDE


def differences(rows: Sequence[LogRow], wallet: Mapping[str, Decimal]) -> dict[str, str | None]:
    """Return what is wrong with each coin that ``rows`` name, None where the difference is 0.

    ``rows`` are those booked, in the order the venue lists them; ``wallet`` is what we hold.
    """
    coins: dict[str, list[LogRow]] = {}
    for row in rows:
        coins.setdefault(row.currency, []).append(row)
    return {
        coin: _difference(coin, in_order(found), wallet.get(coin, ZERO))
        for coin, found in coins.items()
    }


def in_order(rows: Sequence[LogRow]) -> list[LogRow]:
    """Return one coin's rows in the order they were booked at the venue.

    By instant; within one millisecond each row follows the one that ends where it begins.
    """
    ordered: list[LogRow] = []
    in_time = sorted(rows, key=attrgetter("venue_at"))
    for _, together in groupby(in_time, key=attrgetter("venue_at")):
        tied = list(together)
        while tied:
            following = next(
                (row for row in tied if ordered and _before(row) == ordered[-1].balance),
                _first(tied),
            )
            tied.remove(following)
            ordered.append(following)
    return ordered


def _first(tied: Sequence[LogRow]) -> LogRow:
    """Return the row that no other of the same instant leads to, or else the first listed."""
    ends = [row.balance for row in tied]
    return next((row for row in tied if _before(row) not in ends), tied[0])


def _difference(coin: str, rows: Sequence[LogRow], ours: Decimal) -> str | None:
    for earlier, later in pairwise(rows):
        if earlier.balance != _before(later):
            return (
                f"{coin}: a row is missing between {earlier.key} and {later.key}, "
                f"{plain(earlier.balance)} goes on as {plain(_before(later))}"
            )
    if rows[-1].balance != ours:
        return f"{coin}: ours {plain(ours)}, the venue's {plain(rows[-1].balance)}"
    return None


def _before(row: LogRow) -> Decimal:
    with localcontext(WIDE):
        return row.balance - row.change
