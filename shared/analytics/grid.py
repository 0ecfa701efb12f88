"""Settlements brought to one interval, so that a number of them is a span of time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.analytics.series import Floats, Hours, series
from shared.domain.errors import Malformed

HOUR_MS = 3_600_000

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Rates per ``interval_hours`` at ``at_ms`` (UTC ms, its ends), and the basis then, all (n,).

    ``basis`` is NaN before the first level is known.
    """

    interval_hours: int
    at_ms: Instants
    rates: Floats
    basis: Floats


@dataclass(frozen=True, slots=True)
class FundingHistory:
    """What settled of one perpetual, (n,), and its basis over time, (m,); both oldest first.

    ``rates`` are fractions of notional for the ``hours`` before ``at_ms`` (UTC ms); ``basis`` is
    (perp - spot) / spot, known from ``basis_ms`` on. Levels after the newest settlement are not
    looked at.
    """

    at_ms: Instants
    rates: Floats
    hours: Hours
    basis_ms: Instants
    basis: Floats

    def __post_init__(self) -> None:
        """Raise Malformed where lengths differ, times do not rise or a value is not finite."""
        series(self.rates, "rates")
        series(self.basis, "basis")
        if not len(self.at_ms) == len(self.rates) == len(self.hours):
            raise Malformed("rates, times and intervals differ in length: pass one of each.")
        if len(self.basis_ms) != len(self.basis):
            raise Malformed("basis and its times differ in length: pass one of each.")
        for name, at in (("at_ms", self.at_ms), ("basis_ms", self.basis_ms)):
            bad = np.flatnonzero(np.diff(at) <= 0)
            if len(bad):
                raise Malformed(f"{name}[{bad[0] + 1}] is not later than the one before: sort it.")
        if len(self.hours) and np.min(self.hours) <= 0:
            raise Malformed("an interval is not positive: an interval is longer than zero.")


def on_grid(history: FundingHistory, interval_hours: int) -> Grid:
    """Return ``history`` as if it had always settled every ``interval_hours``.

    Shorter intervals are added up to the end they fall into; a longer one is spread evenly over its
    hours, as the venue's formula pays hour for hour. A first end that is only partly known, one
    that lacks a settlement, and a last one that is not over, are left out. Where the interval
    changes, nothing is due within a step up to the longer of the two: all that was paid is known.
    """
    row, parts, ends = _ends(history.at_ms, history.hours, interval_hours)
    at_ms, place = np.unique(ends, return_inverse=True)
    rates = np.bincount(place, history.rates[row] / parts[row], len(at_ms))
    covered = np.bincount(place, np.minimum(history.hours[row], interval_hours), len(at_ms))
    first = 1 if len(at_ms) and covered[0] < interval_hours else 0
    last = int(np.searchsorted(at_ms, history.at_ms[-1], "right")) if len(at_ms) else 0
    kept = np.arange(first, last)
    *_, lost = _ends(*_lost(history), interval_hours)
    kept = kept[~np.isin(at_ms[kept], lost)]
    amounts = np.asarray(rates[kept], dtype=np.float64)
    return Grid(interval_hours, at_ms[kept], amounts, basis_at(history, at_ms[kept]))


def _ends(at_ms: Instants, hours: Hours, interval_hours: int) -> tuple[Hours, Hours, Instants]:
    """Return the ends that settlements fall into: whose each is, (k,), how many they have, (n,).

    The ends are the third, (k,), UTC ms.
    """
    step = interval_hours * HOUR_MS
    parts = np.maximum(hours // interval_hours, 1)
    row = np.repeat(np.arange(len(parts)), parts)
    back = np.repeat(np.cumsum(parts), parts) - 1 - np.arange(len(row))
    return row, parts, -(-(at_ms[row] - back * step) // step) * step


def _lost(history: FundingHistory) -> tuple[Instants, Hours]:
    """Return when a settlement was due between two and is not there, and its hours, both (n,).

    A distance up to the longer interval of the two has nothing due: at a change the record does not
    say which hours it fell on.
    """
    hours, at_ms = history.hours, history.at_ms
    distance = np.diff(at_ms) // HOUR_MS
    holes = np.flatnonzero(distance > np.maximum(hours[1:], hours[:-1])) + 1
    due = [
        np.arange(at_ms[n] - hours[n] * HOUR_MS, at_ms[n - 1], -hours[n] * HOUR_MS) for n in holes
    ]
    counts = [len(each) for each in due]
    return np.concatenate([at_ms[:0], *due]), np.repeat(hours[holes], counts)


def basis_at(history: FundingHistory, at_ms: Instants) -> Floats:
    """Return the newest basis known at each instant, (k,), NaN before the first."""
    padded = np.append(np.nan, history.basis)
    place = np.searchsorted(history.basis_ms, at_ms, "right")
    return np.asarray(padded[place], dtype=np.float64)
