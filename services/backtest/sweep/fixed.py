"""The rule ``booking`` on integers: one helper that multiplies, divides and rounds half-even.

Money, prices and quantities are whole 1e-8 (``UNIT``); rates, signals, fees and slippage whole
1e-12 (``RATE``). The 128-bit product is never formed: a float64 estimate q of a * b / d is off by
less than 2 ** 11, so the true remainder a * b - q * d fits 64 bits, and arithmetic modulo 2 ** 64
yields it exactly. The remainder then mends the estimate and decides the rounding.
"""

from typing import Final

import numpy as np

from services.backtest.sweep.compiled import compiled, inlined

SCALE: Final = 8
RATE_SCALE: Final = 12
UNIT: Final = 10**SCALE
RATE: Final = 10**RATE_SCALE
PER_UNIT: Final = 1.0 / UNIT
PER_RATE: Final = 1.0 / RATE

RESULT_MAX: Final = 2**61
NEAR_MAX: Final = 2.0**50
TO_WHOLE: Final = 1.5 * 2.0**52
DIVISOR_MAX: Final = 2**50


@inlined
def mul_round(a: int, b: int, d: int, per_d: float) -> int:
    """Return a * b / d, half-even, for int64 ``a``, ``b`` and 0 < ``d`` <= 2 ** 50.

    ``per_d`` is 1 / d. The result must lie within 2 ** 61 either way; whoever calls has checked.
    Estimate: five roundings of 2 ** -53 of at most 2 ** 61, and a cut: off by less than 2 ** 11.
    """
    q = np.int64(np.float64(a) * np.float64(b) * per_d)
    r = a * b - q * d
    mend = np.int64(np.float64(r) * per_d)
    r -= mend * d
    below = np.int64(r < 0)
    r += below * d
    over = np.int64(r >= d)
    r -= over * d
    q += mend - below + over
    twice = 2 * r
    return int(q + (np.int64(twice > d) | (np.int64(twice == d) & (q & 1))))


@inlined
def mul_round_near(a: int, b: int, d: int, per_d: float) -> int:
    """Return the same for an even ``d`` and a result below 2 ** 50 either way, in half the work.

    The estimate, rounded by adding and taking off 1.5 * 2 ** 52, is off by less than 1.2: one step
    up or down mends it. An odd estimate also steps at a tie, which is half-even.
    """
    q = np.int64((np.float64(a) * per_d * np.float64(b) + TO_WHOLE) - TO_WHOLE)
    r = a * b - q * d
    odd, half = q & 1, d >> 1
    return int(q + np.int64(r + odd > half) - np.int64(r - odd < -half))


@compiled
def mul_round_checked(a: int, b: int, d: int) -> int:
    """Return the same, refusing what the helper cannot hold.

    Raises: OverflowError (the result is beyond 2 ** 61), ValueError (``d`` is out of range).
    """
    if d < 1 or d > DIVISOR_MAX:
        raise ValueError("the divisor is not within 1 and 2 ** 50")
    per_d = 1.0 / np.float64(d)
    if abs(np.float64(a) * np.float64(b) * per_d) > RESULT_MAX:
        raise OverflowError("the result is beyond 2 ** 61")
    return mul_round(a, b, d, per_d)
