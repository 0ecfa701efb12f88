"""What a recorded history is made of: hourly bars and funding settlements, per symbol."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from shared.domain.errors import Malformed

HOUR_MS: Final = 3_600_000


class MalformedHistory(Malformed):
    """Recorded history cannot be used as it is; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The closes of one hour, quote per base, known at ``at_ms``: the hour's END, UTC ms."""

    at_ms: int
    spot: Decimal
    perp: Decimal
    mark: Decimal


@dataclass(frozen=True, slots=True)
class Settlement:
    """One funding settlement at ``at_ms`` (UTC ms): longs pay a positive ``rate`` to shorts.

    ``rate`` is a fraction of notional for the whole interval, ``interval_hours`` the hours of the
    interval it ended. ``note`` is "ok", or the name of a defect of the source.
    """

    at_ms: int
    rate: Decimal
    interval_hours: int
    note: str = "ok"


@dataclass(frozen=True, slots=True)
class SymbolHistory:
    """One symbol's hourly bars and settlements, both oldest first; whole unless gaps were allowed.

    Settlements may begin before the first bar; none is later than the last bar.
    """

    symbol: str
    bars: tuple[Bar, ...]
    settlements: tuple[Settlement, ...]

    def slice(self, start_ms: int, end_ms: int) -> "SymbolHistory":
        """Return what became known at or after ``start_ms`` and before ``end_ms``."""
        bars = [bisect_left(self.bars, ms, key=_bar_at) for ms in (start_ms, end_ms)]
        paid = [bisect_left(self.settlements, ms, key=_settled_at) for ms in (start_ms, end_ms)]
        return SymbolHistory(self.symbol, self.bars[slice(*bars)], self.settlements[slice(*paid)])


@dataclass(frozen=True, slots=True)
class History:
    """Recorded history by symbol, in the order of the symbols' names; cannot be changed."""

    symbols: Mapping[str, SymbolHistory]

    def __post_init__(self) -> None:
        ordered = {name: self.symbols[name] for name in sorted(self.symbols)}
        object.__setattr__(self, "symbols", MappingProxyType(ordered))

    def slice(self, start_ms: int, end_ms: int) -> "History":
        """Return what became known at or after ``start_ms`` and before ``end_ms`` (UTC ms).

        A symbol without a bar or a settlement in that span stays, empty.
        """
        return History({n: part.slice(start_ms, end_ms) for n, part in self.symbols.items()})


def _bar_at(bar: Bar) -> int:
    return bar.at_ms


def _settled_at(settlement: Settlement) -> int:
    return settlement.at_ms
