"""What holds of h settlements were expected to earn, and what they then did.

A hold begun at settlement s (after its payment) receives the next h rates as the short of the
perpetual, and what the basis falls until settlement s + h. All amounts are fractions of notional,
costs left out; the notional is taken as constant, so a payment is not scaled by the mark.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from shared.analytics.indicators import ema
from shared.analytics.series import Floats, series
from shared.domain.errors import Malformed

LEVEL_SPAN: Final = 21  # settlements; with the next, chosen on data before 2022-12-18 alone
SCALE_SPAN: Final = 30
SCALE_LEAST: Final = 3e-5  # a rate that stood still for weeks may move all the same


@dataclass(frozen=True, slots=True)
class Holds:
    """One entry per settlement, (n,), oldest first; fractions of notional over ``hold``.

    ``realised`` is NaN for the last ``hold`` settlements: their holds are not over. ``scale`` is
    the size that errors of the expectation have at that time, positive.
    """

    hold: int
    expected: Floats
    realised: Floats
    scale: Floats


def holds(rates: Floats, basis: Floats, hold: int) -> Holds:
    """Return the holds begun at each settlement, from ``rates`` and the ``basis`` at the same time.

    ``rates`` are per newest interval, ``basis`` the perpetual's premium as a fraction of spot, both
    (n,). Expected are ``hold`` times the rates' EMA, and that the basis returns to its own EMA.

    Raises:
        Malformed: the lengths differ or a value is not finite. ValueError: ``hold`` is below one.
    """
    paid, premium = series(rates, "rates"), series(basis, "basis")
    if len(paid) != len(premium):
        raise Malformed(f"{len(paid)} rates with {len(premium)} basis levels: join them on time.")
    if hold < 1:
        raise ValueError(f"a hold of {hold} settlements is none: hold one or more")
    anchor = ema(premium, LEVEL_SPAN)
    strayed = ema(np.abs(paid - ema(paid, SCALE_SPAN)), SCALE_SPAN) * hold
    loose = ema(np.abs(premium - anchor), SCALE_SPAN)
    return Holds(
        hold=hold,
        expected=hold * ema(paid, LEVEL_SPAN) + premium - anchor,
        realised=_realised(paid, premium, hold),
        scale=strayed + loose + SCALE_LEAST * hold,
    )


def _realised(paid: Floats, premium: Floats, hold: int) -> Floats:
    result = np.full(len(paid), np.nan)
    over = len(paid) - hold
    if over > 0:
        total = np.append(0.0, np.cumsum(paid))
        received = total[1 + hold :] - total[1 : over + 1]
        result[:over] = received + premium[:over] - premium[hold:]
    return result
