"""The inner loops: what an open pair is worth at each hour and receives at each settlement.

They run over slices from 0 on: only those does the compiler turn into vectors.
"""

from services.backtest.sweep.compiled import inlined
from services.backtest.sweep.fixed import (
    PER_RATE,
    PER_UNIT,
    RATE,
    UNIT,
    mul_round,
    mul_round_near,
)
from services.backtest.sweep.market import Ints


@inlined
def add_marks(marks: Ints, basis: Ints, q: int, entered: int) -> None:
    """Add what a pair of ``q`` is worth at each hour, against the basis it was entered at."""
    for h in range(len(marks)):
        marks[h] += mul_round(q, basis[h] - entered, UNIT, PER_UNIT)


@inlined
def add_payments(cash: Ints, mark: Ints, rate: Ints, q: int) -> int:
    """Add what a short of ``q`` receives at each instant; return the sum."""
    paid = 0
    for j in range(len(cash)):
        value = mul_round(q, mark[j], UNIT, PER_UNIT)
        payment = mul_round(value, rate[j], RATE, PER_RATE)
        cash[j] += payment
        paid += payment
    return paid


@inlined
def add_marks_near(marks: Ints, basis: Ints, q: int, entered: int) -> None:
    """Add what a pair of ``q`` is worth at each hour, against the basis it was entered at; near."""
    for h in range(len(marks)):
        marks[h] += mul_round_near(q, basis[h] - entered, UNIT, PER_UNIT)


@inlined
def add_payments_near(cash: Ints, mark: Ints, rate: Ints, q: int) -> int:
    """Add what a short of ``q`` receives at each instant; return the sum; near."""
    paid = 0
    for j in range(len(cash)):
        value = mul_round_near(q, mark[j], UNIT, PER_UNIT)
        payment = mul_round_near(value, rate[j], RATE, PER_RATE)
        cash[j] += payment
        paid += payment
    return paid
