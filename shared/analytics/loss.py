"""The chance that a hold loses money, said when it is decided (R14).

Each block of h consecutive past settlements is a hold that happened. Its error, what it earned
beyond what was expected of it, in units of the scale of its time, is one draw of the block
bootstrap. All blocks are enumerated, weighted by recency, in place of drawing some by chance: the
probability has no noise of its own and the same history gives the same number. Errors are those of
forecasts made before their outcome, so the distribution is out of sample by construction.

Overlapping blocks are no independent holds. The effective number of independent ones (Kish's
weights, over h) is stated, and the probability is drawn toward one half by one such hold.
Sources: Kunsch (1989), moving blocks; Papadopoulos, Gammerman & Vovk (2008), errors over their
scale; Kish (1965), effective sample size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from shared.analytics.holds import Holds, holds
from shared.analytics.series import Floats

HALF_LIFE: Final = 540  # settlements; half a year of eight hours
BURN_IN: Final = 20  # settlements in which the averages still lean on their first value
HOLDS_LEAST: Final = 1.0  # independent holds below which nothing is stated


@dataclass(frozen=True, slots=True)
class HoldDistribution:
    """What a hold may earn before costs. ``totals`` are fractions of notional, ascending, (m,).

    ``share`` is the weight of what lies before each total and of all, (m + 1,), from 0 to 1.
    ``independent`` is how many holds without overlap the statement is worth.
    """

    expected: float
    totals: Floats
    share: Floats
    independent: float

    def loss_probability(self, cost: float) -> float:
        """Return P(the hold earns less than ``cost``, a fraction of notional), 0 to 1.

        To earn exactly the cost counts half. The basis a decision meets between settlements
        belongs in ``cost``: less what it has risen since the newest settlement.
        """
        before, within = np.searchsorted(self.totals, cost, "left"), self._upto(cost)
        raw = 0.5 * (float(self.share[before]) + float(self.share[within]))
        return (raw * self.independent + 0.5) / (self.independent + 1.0)

    def quantiles(self, levels: Floats) -> Floats:
        """Return the totals that the hold stays below with probabilities ``levels``, (k,).

        Linear between what happened; beyond it the least or the greatest total.
        """
        raw = (levels * (self.independent + 1.0) - 0.5) / self.independent
        middle = 0.5 * (self.share[1:] + self.share[:-1])
        return np.asarray(np.interp(raw, middle, self.totals), dtype=np.float64)

    def _upto(self, cost: float) -> int:
        return int(np.searchsorted(self.totals, cost, "right"))


def hold_distribution(
    begun: Holds, at: int = -1, most: int | None = None
) -> HoldDistribution | None:
    """Return what the hold begun at index ``at`` may earn, from holds that were over by then.

    Of those only what the newest ``most`` settlements hold counts, None: all. None when those that
    were over are worth less than one hold without overlap: missing is not a probability.
    """
    now = at % len(begun.expected) if len(begun.expected) else 0
    first = BURN_IN + (0 if most is None else max(0, now + 1 - most))
    count = now - begun.hold + 1 - first
    if count <= 0:
        return None
    over = slice(first, first + count)
    weight = 0.5 ** (np.arange(count - 1, -1, -1) / HALF_LIFE)
    independent = float(np.sum(weight) ** 2 / np.sum(weight**2)) / begun.hold
    if independent < HOLDS_LEAST:
        return None
    errors = (begun.realised[over] - begun.expected[over]) / begun.scale[over]
    order = np.argsort(errors, kind="stable")
    share = np.append(0.0, np.cumsum(weight[order]))
    expected = float(begun.expected[now])
    totals = expected + errors[order] * float(begun.scale[now])
    return HoldDistribution(expected, totals, share / share[-1], independent)


def loss_probability(rates: Floats, basis: Floats, cost: float, hold: int) -> float | None:
    """Return P(a hold of ``hold`` settlements begun now loses money), 0 to 1; None: too short.

    ``rates`` per newest interval and ``basis`` at the settlements, fractions, (n,), oldest first;
    ``cost`` is the whole round trip as a fraction of notional.
    """
    stated = hold_distribution(holds(rates, basis, hold))
    return None if stated is None else stated.loss_probability(cost)
