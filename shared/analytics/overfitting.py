"""Probability of backtest overfitting: does the best of the past stay among the better ones?"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from shared.analytics.sharpe import has_traded
from shared.domain.errors import require

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overfitting:
    """``probability`` is the share of splits whose best lands in the lower half out of sample.

    ``logits`` (splits,) are ln(w / (1 - w)) of its relative rank w out of sample: above 0 is the
    upper half. ``loss_probability`` is the share of splits in which it loses out of sample, and
    ``costly`` that in which it does both: among settings that are all as good, the lower half is no
    harm.
    """

    probability: float
    loss_probability: float
    costly: float
    logits: Floats


def backtest_overfitting(profits: Floats, blocks: int) -> Overfitting | None:
    """Return how often choosing the best of ``profits`` (t, n) is worse than choosing blindly.

    Combinatorially symmetric cross-validation: the t observations are cut into ``blocks`` (even)
    equal blocks, oldest rest left out; each half of the blocks chooses the setting with the best
    Sharpe ratio, the other half ranks it among the n. Equal settings share their mean rank.
    Settings that never trade are left out, so that they change nothing: their 0 would be beaten by
    whatever earns a little, and lift the choice into the upper half for nothing. None when fewer
    than two traded: one alone cannot be ranked.
    Raises: InvariantViolation when there are fewer than two observations a block.
    Source: Bailey, Borwein, Lopez de Prado, Zhu: The Probability of Backtest Overfitting (2015);
    theirs is a matrix of trials that all have a ratio, and says nothing of idle ones.
    """
    count = len(profits)
    length = count // blocks
    require(blocks >= 2 and blocks % 2 == 0, f"{blocks} blocks cannot be halved")
    require(length >= 2, f"{count} observations are too few for {blocks} blocks")
    recent = profits[count - blocks * length :]
    traded = recent[:, has_traded(recent)]
    settings = traded.shape[1]
    if settings < 2:
        return None
    kept = traded.reshape(blocks, length, settings)
    sums, squares = kept.sum(axis=1), np.square(kept).sum(axis=1)
    logits = np.empty(comb(blocks, blocks // 2))
    losses = np.zeros(len(logits), dtype=np.bool_)
    everything = frozenset(range(blocks))
    for split, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        others = sorted(everything.difference(chosen))
        best = int(np.argmax(_ratios(sums, squares, list(chosen), length)))
        outside = _ratios(sums, squares, others, length)
        rank = np.sum(outside < outside[best]) + (np.sum(outside == outside[best]) + 1) / 2
        share = rank / (settings + 1)
        logits[split] = np.log(share / (1.0 - share))
        losses[split] = sums[others, best].sum() < 0.0
    behind = logits <= 0.0
    return Overfitting(
        float(behind.mean()), float(losses.mean()), float((behind & losses).mean()), logits
    )


def _ratios(sums: Floats, squares: Floats, blocks: list[int], length: int) -> Floats:
    """Return each setting's Sharpe ratio over ``blocks``; 0 where nothing varies."""
    count = len(blocks) * length
    mean = sums[blocks].sum(axis=0) / count
    second = squares[blocks].sum(axis=0) / count
    variance = second - np.square(mean)
    varies = variance > 1e-12 * second
    ratios = np.zeros_like(mean)
    ratios[varies] = mean[varies] / np.sqrt(variance[varies] * count / (count - 1))
    return np.asarray(ratios, dtype=np.float64)
