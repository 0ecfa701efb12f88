"""Every threshold of the strategy and of the execution, in one hashed value."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CarryPolicy:
    """How pairs are chosen. Rates and margins are fractions of notional, amounts are USDT."""

    forecast_settlements: int = 21
    hold: timedelta = timedelta(days=21)
    entry_margin: Decimal = Decimal("0.0010")
    break_even_limit_settlements: int = 42
    exit_margin: Decimal = Decimal("0")
    slippage_allowance: Decimal = Decimal("0.0001")
    pair_notional: Decimal = Decimal(10_000)
    gross_notional: Decimal = Decimal(50_000)
    max_pairs: int = 5
    depth_share: Decimal = Decimal("0.25")
    spot_taker_fee: Decimal = Decimal("0.001")
    perp_taker_fee: Decimal = Decimal("0.00055")
    basis_limit: Decimal = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """How targets become orders. Bands are fractions of the touch price, one per try."""

    bands: tuple[Decimal, ...] = (Decimal("0.0010"), Decimal("0.0030"), Decimal("0.0100"))
    unwind_bands: tuple[Decimal, ...] = (Decimal("0.0030"), Decimal("0.0100"), Decimal("0.0300"))
