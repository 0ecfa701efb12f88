"""Made markets in which the right verdict is known: funding with memory, and funding without.

Both kinds have the same prices, basis noise, costs and spread of funding; they differ in one thing
only. In the *planted* world a slow component (half-life ``HALF_LIFE``) makes the coming rates
forecastable; in the *noise* world every rate is drawn afresh around zero, so that whatever is held
is expected to earn nothing and to pay its costs.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.market import SweepMarket
from shared.history.records import HOUR_MS

START_MS: Final = 1_640_995_200_000  # 2022-01-01 00:00 UTC
SYMBOLS: Final = ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT")
DAYS: Final = 730
INTERVAL: Final = 8
HALF_LIFE: Final = 60  # settlements: twenty days
SLOW_BPS: Final = 4.0
FAST_BPS: Final = 1.5
BASIS_BPS: Final = 5.0
HOURLY_VOLATILITY: Final = 0.006

Floats = NDArray[np.float64]


def planted(seed: int) -> SweepMarket:
    """Return a market whose funding has a slow component of ``SLOW_BPS`` and noise on top."""
    rng = np.random.default_rng((seed, 41))
    shape = (len(SYMBOLS), DAYS * 24 // INTERVAL)
    return _market(rng, _slow(rng, shape) + FAST_BPS * rng.standard_normal(shape))


def noise(seed: int) -> SweepMarket:
    """Return a market whose funding is as wide as the planted one and remembers nothing."""
    rng = np.random.default_rng((seed, 42))
    shape = (len(SYMBOLS), DAYS * 24 // INTERVAL)
    return _market(rng, np.hypot(SLOW_BPS, FAST_BPS) * rng.standard_normal(shape))


def _slow(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return a stationary first-order autoregression around zero, bps, (symbols, settlements)."""
    memory = 0.5 ** (1.0 / HALF_LIFE)
    return _autoregression(rng, shape, memory, SLOW_BPS)


def _autoregression(
    rng: np.random.Generator, shape: tuple[int, int], memory: float, spread: float
) -> Floats:
    shocks = rng.standard_normal(shape)
    shocks[:, 1:] *= np.sqrt(1.0 - memory**2)
    level = np.empty(shape)
    level[:, 0] = shocks[:, 0]
    for k in range(1, shape[1]):
        level[:, k] = memory * level[:, k - 1] + shocks[:, k]
    return spread * level


def _market(rng: np.random.Generator, rate_bps: Floats) -> SweepMarket:
    symbols, instants = rate_bps.shape
    hours = instants * INTERVAL
    steps = HOURLY_VOLATILITY * rng.standard_normal((symbols, hours))
    spot = 1_000.0 * np.exp(np.cumsum(steps - HOURLY_VOLATILITY**2 / 2, axis=1))
    basis = BASIS_BPS * 1e-4 * rng.standard_normal((symbols, hours))
    spot_units = _units(spot, 8)
    perp_units = _units(spot * (1.0 + basis), 8)
    at = np.arange(INTERVAL - 1, hours, INTERVAL, dtype=np.int64)
    return SweepMarket(
        symbols=SYMBOLS,
        start_ms=START_MS + HOUR_MS,
        spot=spot_units,
        perp=perp_units,
        mark=perp_units,
        at=at,
        rate=_units(np.clip(rate_bps * 1e-4, -0.01, 0.01), 12),
        interval=np.full((symbols, instants), INTERVAL, np.int64),
    )


def _units(values: Floats, scale: int) -> NDArray[np.int64]:
    return np.rint(values * 10.0**scale).astype(np.int64)
