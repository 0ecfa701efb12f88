"""The market as the kernel walks it: symbol-major, with what a walk looks up tabulated."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.signals import rates_normal

SPOT, PERP = range(2)


class Columns(NamedTuple):
    """Arrays over S symbols, T hours, K instants.

    ``basis`` (S, T): spot minus perpetual. ``quotes`` (S, K, 2): spot and perpetual price at the
    instants, side by side because they are read together; ``mark``, ``rate`` (S, K): apart because
    runs of them are read. 0 where there is none.
    ``signal_rate`` (K, S): see ``rates_normal``. ``settles`` (K, S): whether the symbol settles.
    ``at`` (K,). ``highest`` (S,): the greatest price. ``nth`` (K, S): settlements of the symbol up
    to and with k. ``own`` (S, K): the instants of a symbol's settlements, in order. ``first``,
    ``last`` (S,): a pair may be opened at first <= k < last; at ``last``, its last settlement with
    a price, it is closed. ``day_ends``: see ``SweepMarket``.
    """

    basis: Ints
    quotes: Ints
    mark: Ints
    rate: Ints
    signal_rate: NDArray[np.float64]
    settles: NDArray[np.bool_]
    at: Ints
    highest: Ints
    nth: NDArray[np.int32]
    own: NDArray[np.int32]
    first: Ints
    last: Ints
    day_ends: Ints


def columns_of(market: SweepMarket) -> Columns:
    """Return the tables of a market."""
    symbols, instants = market.rate.shape
    settles = market.interval > 0
    hour = np.maximum(market.at, 0)
    priced = (market.spot[:, hour] > 0) & (market.at >= 0)
    own = np.zeros((symbols, max(instants, 1)), np.int32)
    first, last = np.full(symbols, instants), np.full(symbols, -1)
    for s in range(symbols):
        places = np.flatnonzero(settles[s])
        own[s, : len(places)] = places
        if priced[s].any():
            first[s] = np.flatnonzero(priced[s])[0]
        closing = np.flatnonzero(settles[s] & priced[s])
        if len(closing):
            last[s] = closing[-1]
    quotes = np.zeros((symbols, instants, 2), np.int64)
    for field, column in ((SPOT, market.spot), (PERP, market.perp)):
        quotes[:, :, field] = np.where(priced, column[:, hour], 0)
    return Columns(
        basis=market.spot - market.perp,
        quotes=quotes,
        mark=np.ascontiguousarray(np.where(priced, market.mark[:, hour], 0)),
        rate=np.ascontiguousarray(market.rate),
        signal_rate=rates_normal(market),
        settles=np.ascontiguousarray(settles.T),
        at=market.at,
        highest=np.max([p.max(axis=1) for p in (market.spot, market.perp, market.mark)], axis=0),
        nth=np.ascontiguousarray(np.cumsum(settles, axis=1, dtype=np.int32).T),
        own=own,
        first=first.astype(np.int64),
        last=last.astype(np.int64),
        day_ends=market.day_ends,
    )
