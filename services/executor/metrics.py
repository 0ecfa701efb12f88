"""What the executor counts and measures."""

from decimal import Decimal
from typing import Final

from shared.domain.profit import Parts
from shared.telemetry.metrics import Metrics

ALARMS: Final = (
    "adl_rank",
    "books_differ",
    "borrowed",
    "execution_missing",
    "foreign_execution",
    "funding_missing",
    "late_fill",
    "leg_alone",
    "ledger_differs",
    "log_row_odd",
    "log_row_unknown",
    "naked_too_long",
    "pair_broken",
    "position_differs",
    "venue_reduced_position",
    "venue_bans_us",
    "venue_refuses_key",
    "order_in_doubt",
    "order_quarantined",
    "kill_remains",
    "margin_short",
    "margin_trimmed",
    "margin_unread",
)
OUTCOMES: Final = ("hedged", "flat", "refused", "broken")
ENDS: Final = ("filled", "cancelled", "rejected", "absent", "quarantined")
WORTH: Final = {
    "equity": "worth",
    "net": "profit since the start",
    "funding": "funding received",
    "fees": "fees, negative when paid",
    "basis": "gain from spot and perpetual prices against each other",
    "borrow": "interest, negative when paid",
    "slippage": "loss of executions against the mid of their books, negative",
    "rounding": "gain from the venue's rounding",
}
UNHEDGED_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 20.0, 30.0, 60.0)

UNKNOWN: Final = Decimal("NaN")


class ExecutorMetrics:
    """The executor's metrics in one registry."""

    def __init__(self) -> None:
        registry = Metrics("executor")
        self.registry = registry
        self.alarms = registry.counter("alarms", "Alarms raised", {"alarm": ALARMS})
        self.plans = registry.counter("plans", "Plans ended", {"outcome": OUTCOMES})
        self.attempts = registry.counter("attempts", "Orders ended", {"end": ENDS})
        self.fills = registry.counter("fills", "Executions stored")
        self.groups = registry.counter("posting_groups", "Rows of the venue's log booked")
        self.plan_seconds = registry.histogram("plan_seconds", "From taking up to ending a plan")
        self.unhedged_seconds = registry.histogram(
            "unhedged_seconds", "How long one leg stood alone, per plan", buckets=UNHEDGED_BUCKETS
        )
        self.ledger_lag_seconds = registry.histogram(
            "ledger_read_seconds", "One reading of the transaction log"
        )
        self.in_doubt = registry.gauge("orders_in_doubt_count", "Orders whose outcome is unknown")
        self._worth = {
            part: registry.gauge(f"{part}_usdt", f"The account's {said}, at the newest instant")
            for part, said in WORTH.items()
        }
        self.adl_rank = registry.gauge(
            "adl_rank_count",
            "Place of the pair's short in the line to be deleveraged: 5 is first, 0 is not in it",
            {"pair": ()},
        )
        self.armed = registry.gauge("armed_count", "One when orders may be sent")
        self._maintenance = registry.gauge(
            "maintenance_ratio", "Bound share of what backs the account; at one it is liquidated"
        )
        self._headroom = registry.gauge(
            "headroom_usdt", "What backs the account beyond its maintenance margin"
        )
        self.margin()

    def margin(self, rate: Decimal = UNKNOWN, balance: Decimal = UNKNOWN) -> None:
        """Show how near liquidation is; not a number while that is not known."""
        self._maintenance.set(float(rate))
        self._headroom.set(float(balance * (1 - rate)))

    def worth(self, equity: Decimal, pnl: Parts) -> None:
        """Show what the account is worth and what made it so; each part a gain (+) or a cost."""
        shown = (equity, *(getattr(pnl, part) for part in WORTH if part != "equity"))
        for gauge, amount in zip(self._worth.values(), shown, strict=True):
            gauge.set(float(amount))
