"""What closing a position brought, order by order, as position/closed-pnl shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.venue.amounts import ZERO, exact, quotient
from shared.venue.records import Execution


@dataclass(frozen=True, slots=True)
class ClosedPnl:
    """One order that closed some of a position; values and ``pnl`` in quote units.

    ``pnl`` = gain of price - the closed share of the opening fees - the closing fees, without
    funding. ``last`` is the newest of its ``fills``; ``created_ms`` is when the first came.
    """

    last: Execution
    closed: Decimal
    entry_value: Decimal
    exit_value: Decimal
    pnl: Decimal
    fills: int
    created_ms: int


class ClosedBook:
    """Follows the executions of one account, which only ever grow; ``rows`` are oldest first.

    Source: bybit-v5.md 6, and the documented example of position/closed-pnl, whose closedPnl of
    -47.4065323 is 3541.795 - 3584.9255 less 0.06 % of either.
    """

    def __init__(self) -> None:
        self._read = 0
        self._opened: dict[str, tuple[Decimal, Decimal]] = {}  # size and fees still to be closed
        self._rows: dict[str, ClosedPnl] = {}

    def rows(self, executions: Sequence[Execution]) -> list[ClosedPnl]:
        """Return one row for each order that closed something, after all of ``executions``."""
        for execution in executions[self._read :]:
            if execution.category == "linear" and execution.exec_type != "Funding":
                self._take(execution)
        self._read = len(executions)
        return list(self._rows.values())

    @exact
    def _take(self, e: Execution) -> None:
        size, fees = self._opened.get(e.symbol, (ZERO, ZERO))
        closed = e.closed_size
        spent = fees if closed == size else quotient(fees * closed, size)
        paid = e.fee if closed == e.qty else quotient(e.fee * closed, e.qty)
        self._opened[e.symbol] = (size - closed + (e.qty - closed), fees - spent + e.fee - paid)
        if closed:
            exit_value = closed * e.price
            entry_value = exit_value + (e.realised_pnl if e.side == "Buy" else -e.realised_pnl)
            pnl = e.realised_pnl - spent - paid
            self._add(ClosedPnl(e, closed, entry_value, exit_value, pnl, 1, e.time_ms))

    def _add(self, row: ClosedPnl) -> None:
        """Join what further fills of one order closed."""
        known = self._rows.get(row.last.order_id)
        if known is not None:
            row = replace(
                row,
                closed=known.closed + row.closed,
                entry_value=known.entry_value + row.entry_value,
                exit_value=known.exit_value + row.exit_value,
                pnl=known.pnl + row.pnl,
                fills=known.fills + 1,
                created_ms=known.created_ms,
            )
        self._rows[row.last.order_id] = row
