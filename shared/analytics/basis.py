"""The distance of the perpetual from spot, and where it stands among those of the past (A5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.analytics.indicators import SAMPLE
from shared.analytics.regime import Regime, standing
from shared.analytics.series import Floats, is_constant, series
from shared.domain.errors import Malformed


@dataclass(frozen=True, slots=True)
class BasisStanding:
    """``level`` is a fraction of the spot price, positive when the perpetual is the dearer leg.

    ``percentile`` is 0 to 100 among the history, ``z`` the level's distance from the history's mean
    in sample deviations.
    """

    level: float
    percentile: float
    regime: Regime
    z: float


def basis_rates(perp: Sequence[float] | Floats, spot: Sequence[float] | Floats) -> Floats:
    """Return (perp - spot) / spot, (n,): what a short perpetual gains when it comes to zero.

    ``perp`` and ``spot`` are prices of the same instants, (n,), quote per base.

    Raises:
        Malformed: the lengths differ, or a spot price is not positive.
    """
    perps, spots = series(perp, "perp"), series(spot, "spot")
    if len(perps) != len(spots):
        raise Malformed(f"{len(perps)} perp prices with {len(spots)} of spot: join them on time.")
    bad = np.flatnonzero(spots <= 0.0)
    if len(bad):
        raise Malformed(f"spot[{bad[0]}] is {spots[bad[0]]}: a price is above zero.")
    return np.asarray(perps / spots - 1.0, dtype=np.float64)


def basis_standing(history: Sequence[float] | Floats) -> BasisStanding | None:
    """Return where the newest of ``history``, (n,), stands among all of it; None with fewer than 2.

    The history is of one spacing (hours, or settlements) and includes the newest level.
    """
    known = series(history, "basis")
    if len(known) < 2:
        return None
    place = standing(known, float(known[-1]))
    assert place is not None
    deviation = 0.0 if is_constant(known) else float(np.std(known, ddof=SAMPLE))
    z = float(known[-1] - np.mean(known)) / deviation if deviation > 0.0 else 0.0
    return BasisStanding(float(known[-1]), place.percentile, place.regime, z)
