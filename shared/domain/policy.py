"""Every threshold of the strategy and of the execution, in one hashed value."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CarryPolicy:
    """How pairs are chosen. Rates, margins and shares are fractions, amounts are USDT.

    Forecast: the settlements of the last ``history``, and the basis then, feed the signals, the
    newest ``forecast_settlements`` the plain mean that stands in for a forecast without skill;
    ``exit_settlements`` is the nearer horizon of leaving.

    Entry and exit: ``entry_margin`` is asked over all costs, ``loss_probability_max`` is the
    greatest chance of losing money with the hold, and no perpetual is sold while its basis stands
    under ``basis_percentile_min`` among those of the past. Leaving asks for ``exit_margin`` at
    ``exit_confidence``. Nothing is opened within ``entry_lead`` of a settlement, and a pair is not
    left within ``payment_wait`` of one that pays. ``switching_margin`` is what another pair must be
    better by to take a held one's place.

    Size: ``kelly_fraction`` of the growth-optimal share of ``capital``, at most ``kelly_cap``,
    times conviction. A pair is cut to the room that is left if that is at least ``trim_share`` of
    its size. ``clusters`` lists bases that move together, separated by spaces; others stand alone.

    Margin: ``capital_share`` may be at work; ``collateral_ratio``, ``maintenance_rate`` and
    ``borrow_margin_rate`` are the venue's; a rise of all prices by ``liquidation_distance`` must be
    survived. The reserve pays the worst funding in a thousand for ``unwind_time`` and loses
    ``unwind_slippage``. ``weight_*`` are the conviction's and sum to one.
    """

    forecast_settlements: int = 21
    history: timedelta = timedelta(days=365)
    exit_settlements: int = 9
    hold: timedelta = timedelta(days=21)
    entry_margin: Decimal = Decimal("0.0010")
    break_even_limit_settlements: int = 42
    loss_probability_max: Decimal = Decimal("0.25")
    basis_percentile_min: Decimal = Decimal("0.10")
    entry_lead: timedelta = timedelta(minutes=5)
    exit_margin: Decimal = Decimal("0")
    exit_confidence: Decimal = Decimal("0.9")
    payment_wait: timedelta = timedelta(hours=1)
    switching_margin: Decimal = Decimal("0.0020")
    slippage_allowance: Decimal = Decimal("0.0001")
    pair_notional: Decimal = Decimal(10_000)
    gross_notional: Decimal = Decimal(50_000)
    cluster_notional: Decimal = Decimal(40_000)
    clusters: tuple[str, ...] = ("BTC ETH", "BNB SOL XRP")
    max_pairs: int = 5
    depth_share: Decimal = Decimal("0.25")
    trim_share: Decimal = Decimal("0.5")
    capital: Decimal = Decimal(100_000)
    capital_share: Decimal = Decimal("0.9")
    kelly_fraction: Decimal = Decimal("0.25")
    kelly_cap: Decimal = Decimal("0.25")
    collateral_ratio: Decimal = Decimal("0.9")
    maintenance_rate: Decimal = Decimal("0.02")
    borrow_margin_rate: Decimal = Decimal("0.05")
    liquidation_distance: Decimal = Decimal("0.5")
    unwind_time: timedelta = timedelta(hours=8)
    unwind_slippage: Decimal = Decimal("0.005")
    weight_value: Decimal = Decimal("0.30")
    weight_persistence: Decimal = Decimal("0.25")
    weight_trend: Decimal = Decimal("0.15")
    weight_reversion: Decimal = Decimal("0.10")
    weight_safety: Decimal = Decimal("0.20")
    spot_taker_fee: Decimal = Decimal("0.001")
    perp_taker_fee: Decimal = Decimal("0.00055")
    basis_limit: Decimal = Decimal("0.02")

    @property
    def settlements_most(self) -> int:
        """How many settlements the history may hold: one an hour."""
        return max(self.forecast_settlements, self.history // timedelta(hours=1))

    @property
    def weights(self) -> dict[str, Decimal]:
        """The weight of each part of the conviction, by its name."""
        return {
            "value": self.weight_value,
            "persistence": self.weight_persistence,
            "trend": self.weight_trend,
            "reversion": self.weight_reversion,
            "safety": self.weight_safety,
        }

    def cluster(self, base: str) -> str:
        """Return the group of coins that ``base`` moves with; its own name when it is in none."""
        return next((group for group in self.clusters if base in group.split()), base)


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """How targets become orders. Bands are fractions of the touch price, one per try.

    ``*_seconds`` are wall time: when one leg alone is a warning, when its hedge escalates, when it
    is taken back, and by when it must be over (R:H1). ``maker_seconds`` is how long a first leg may
    rest; zero never rests. ``clip_share`` is how much of the thinner touch one try may take.
    ``maker_chance`` is the share of a resting order that is expected to fill, ``maker_adverse``
    what the price is expected to move against who was filled resting, and ``clip_drift`` what each
    further slice is expected to lose to a moving price; all fractions.

    At ``margin_trim``, a maintenance margin rate, both legs of pairs are reduced; from a little
    below it on nothing is acquired. At ``margin_line`` everything is closed by a kill, also by a
    watchdog while the executor is silent. At one the venue liquidates.
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
    margin_trim: Decimal = Decimal("0.6")
    margin_line: Decimal = Decimal("0.8")
