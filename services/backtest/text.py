"""Figures as people read them: comma groups, a true minus, a thin space that does not break."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

THIN: Final = "\N{NARROW NO-BREAK SPACE}"
MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EN DASH}"


def usdt(amount: Decimal | str, *, sign: bool = True, places: int = 2) -> str:
    """Return an amount with comma groups; zero, also after rounding, has no sign."""
    rounded = Decimal(amount).quantize(Decimal(1).scaleb(-places))
    if not rounded:
        return f"{abs(rounded):,}"
    return f"{rounded:{'+' if sign else ''},}".replace("-", MINUS)


def percent(fraction: float, *, places: int = 2, sign: bool = True, unit: bool = True) -> str:
    """Return a fraction as a percentage; zero, also after rounding, has no sign."""
    rounded = round(fraction * 100, places)
    text = f"{abs(rounded):.{places}f}"
    if rounded and sign:
        text = ("+" if rounded > 0 else MINUS) + text
    elif rounded < 0:
        text = MINUS + text
    return text + (f"{THIN}%" if unit else "")


def number(value: float, places: int = 2) -> str:
    """Return a plain number with a true minus."""
    return f"{value:,.{places}f}".replace("-", MINUS)


def tone(amount: Decimal | str | float, places: int = 2) -> str:
    """Return the class of a signed figure: gain, loss, or none where it rounds to zero."""
    rounded = round(Decimal(str(amount)), places)
    return "" if not rounded else "gain" if rounded > 0 else "loss"


def day(at: datetime | date, *, year: bool = True) -> str:
    """Return "7 Dec 2024", without the year on request."""
    return f"{at.day} {at:%b %Y}" if year else f"{at.day} {at:%b}"


def instant(at: datetime) -> str:
    """Return "7 Dec 2024 13:14"."""
    return f"{day(at)} {at:%H:%M}"


def duration(span: timedelta) -> str:
    """Return the two largest units of a span: "14 d 3 h", "3 h 20 min"."""
    minutes = int(span.total_seconds()) // 60
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def price_range(interval: Mapping[str, Any] | None, show: Any) -> str:
    """Return "90 % range a to b" of a stored interval, or why there is none."""
    if interval is None:
        return "no range: too few days"
    low, high = show(interval["low"]), show(interval["high"])
    return f"{interval['level']:.0%} range {low} to {high}".replace("%", f"{THIN}%", 1)
