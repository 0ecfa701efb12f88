"""A market as one column of events in time order, eleven bytes each."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.market import Ints, SweepMarket

SPOT, PERP, SETTLED = range(3)
"""Kinds: a close of the spot, a close of the perpetual; ``SETTLED`` + h: a rate for 1 + h hours."""

KIND_MAX: Final = 255


class Events(NamedTuple):
    """``kind`` (N,), ``symbol`` (N,) in the market's order, ``value`` (N,): 1e-8 quote or 1e-12.

    Within an hour: all closes of spot, all of perpetuals, then what settles at that close.
    """

    kind: NDArray[np.uint8]
    symbol: NDArray[np.uint16]
    value: Ints


def events_of(market: SweepMarket) -> Events:
    """Return the events of a market; settlements before its first hour come first."""
    prices = np.stack((market.spot.T, market.perp.T), axis=1)
    legs = np.broadcast_to(np.array([[SPOT], [PERP]], np.uint8), prices.shape)
    names = np.broadcast_to(np.arange(prices.shape[2], dtype=np.uint16), prices.shape)
    parts, begin = [], 0
    for k, hour in enumerate([*market.at.tolist(), market.hours - 1]):
        now = slice(begin, hour + 1)
        begin = max(begin, hour + 1)
        there = prices[now] > 0
        parts.append((legs[now][there], names[now][there], prices[now][there]))
        if k < len(market.at):
            who = np.flatnonzero(market.interval[:, k])
            kind = np.minimum(market.interval[who, k] - 1 + SETTLED, KIND_MAX).astype(np.uint8)
            parts.append((kind, who.astype(np.uint16), market.rate[who, k]))
    kinds, symbols, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Events(kinds, symbols, values)
