"""What the same capital would have earned lying still, beside what it earned at work."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from services.backtest.page_tables import Page
from services.backtest.record import Record
from services.backtest.text import percent, usdt

DAYS_PER_YEAR: Final = 365


def join_cash(page: Page, record: Record, rate: Decimal) -> None:
    """Give ``page`` the line of cash at ``rate`` a year (a fraction, simple), and a word on it."""
    days = [datetime.fromisoformat(text) for text in page["curve"]["at"]]
    deposit, share = Decimal(record["deposit"]), percent(float(rate), places=1, sign=False)
    earned = [_interest(deposit, rate, at - days[0]) for at in days]
    page["curve"]["cash"] = [float(deposit + amount) for amount in earned]
    page["cash"] = f"Cash {share}"
    if not earned:
        return
    beaten = Decimal(record["net"]) > earned[-1]
    says = (
        f"Cash at {share} a year would have earned {usdt(earned[-1])} USDT in these days, "
        f"{'less' if beaten else 'more'} than the {usdt(record['net'])} here."
    )
    page["notices"].append({"kind": "plain" if beaten else "warn", "says": says})


def _interest(deposit: Decimal, rate: Decimal, span: timedelta) -> Decimal:
    whole = Decimal(int(span.total_seconds()))
    return deposit * rate * whole / (DAYS_PER_YEAR * 86_400)
