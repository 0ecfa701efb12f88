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
    """How targets become orders. Bands are fractions of the touch price, one per try.

    ``*_seconds`` are wall time: when one leg alone is a warning, when its hedge escalates, when it
    is taken back, and by when it must be over (R:H1). ``maker_seconds`` is how long a first leg may
    rest; zero never rests. ``clip_share`` is how much of the thinner touch one try may take.
    ``maker_chance`` is the share of a resting order that is expected to fill, ``maker_adverse``
    what the price is expected to move against who was filled resting, and ``clip_drift`` what each
    further slice is expected to lose to a moving price; all fractions. At ``margin_line``, a
    maintenance margin rate, a watchdog closes hedged pairs too: at one the venue liquidates.
    """

    bands: tuple[Decimal, ...] = (Decimal("0.0010"), Decimal("0.0030"), Decimal("0.0100"))
    unwind_bands: tuple[Decimal, ...] = (Decimal("0.0030"), Decimal("0.0100"), Decimal("0.0300"))
    warn_after_seconds: Decimal = Decimal(2)
    escalate_after_seconds: Decimal = Decimal(5)
    unwind_after_seconds: Decimal = Decimal(15)
    flat_after_seconds: Decimal = Decimal(60)
    spot_maker_fee: Decimal = Decimal("0.001")
    perp_maker_fee: Decimal = Decimal("0.0002")
    maker_seconds: Decimal = Decimal(0)
    maker_chance: Decimal = Decimal("0.5")
    maker_adverse: Decimal = Decimal("0.0002")
    clip_share: Decimal = Decimal("1")
    clip_drift: Decimal = Decimal("0.0001")
    clips_max: int = 20
    spread_limit: Decimal = Decimal("0.02")
    margin_line: Decimal = Decimal("0.8")
