"""Builders of market values: tests show only what matters to them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Instrument, Pair
from shared.domain.market import MarketSnapshot, PairMarket, Quote
from shared.domain.signals import Signals

MIDNIGHT = datetime(2023, 11, 11, tzinfo=UTC)
INSTANT = MIDNIGHT + timedelta(minutes=1)
EIGHT_HOURS = timedelta(hours=8)


def instrument(
    category: Category, base: str = "BTC", *, step: str = "0.001", **changes: object
) -> Instrument:
    values: dict[str, object] = {
        "category": category,
        "symbol": f"{base}USDT",
        "base": base,
        "quote": "USDT",
        "status": "Trading",
        "tick": Decimal("0.1"),
        "step": Decimal(step),
        "min_quantity": Decimal(step),
        "max_quantity": Decimal(1000),
        "min_notional": Decimal(5),
    }
    return Instrument(**{**values, **changes})  # type: ignore[arg-type]


def pair(base: str = "BTC", *, spot_step: str = "0.000001", perp_step: str = "0.001") -> Pair:
    return Pair(
        instrument(Category.SPOT, base, step=spot_step),
        instrument(Category.LINEAR, base, step=perp_step),
    )


def quote(bid: str, ask: str, size: str = "100", at: datetime = INSTANT) -> Quote:
    return Quote(Decimal(bid), Decimal(size), Decimal(ask), Decimal(size), at)


def settlements(
    symbol: str,
    rates: list[str],
    *,
    last_at: datetime = MIDNIGHT,
    interval: timedelta = EIGHT_HOURS,
) -> tuple[FundingSettlement, ...]:
    count = len(rates)
    return tuple(
        FundingSettlement(symbol, Decimal(rate), last_at - interval * (count - 1 - n), interval)
        for n, rate in enumerate(rates)
    )


def signals(rate: str = "0.0003", **changes: object) -> Signals:
    """What statistics say of a rate and a basis that never changed, for a hold of 63 settlements.

    It may end a tenth of a percent to either side nevertheless.
    """
    level = Decimal(rate)
    values: dict[str, object] = {
        "as_of": MIDNIGHT,
        "next_mean": level,
        "exit_mean": level,
        "exit_error": Decimal(0),
        "hold_mean": level,
        "hold_error": Decimal(0),
        "slope": Decimal(0),
        "slope_p": Decimal(1),
        "z_score": Decimal(0),
        "percentile": Decimal("0.5"),
        "regime": "normal",
        "persistence": Decimal(1),
        "worst_rate": level,
        "has_skill": False,
        "basis": Decimal(0),
        "basis_usual": Decimal(0),
        "basis_levels": (Decimal(0),) * 3,
        "hold_outcomes": (63 * level,) * 3,
        "hold_deviation": Decimal("0.001"),
    }
    return Signals(**{**values, **changes})  # type: ignore[arg-type]


def market(base: str = "BTC", *, rate: str = "0.0003", **changes: object) -> PairMarket:
    """A pair at 10,000 with a one-unit spread on both legs, 21 equal settled rates and signals."""
    of = pair(base)
    values: dict[str, object] = {
        "pair": of,
        "spot": quote("9999.5", "10000.5"),
        "perp": quote("9999.5", "10000.5"),
        "mark_price": Decimal(10000),
        "index_price": Decimal(10000),
        "predicted_rate": Decimal(rate),
        "next_funding_at": MIDNIGHT + EIGHT_HOURS,
        "funding_interval": EIGHT_HOURS,
        "settled_by": MIDNIGHT,
        "settlements": settlements(of.name, [rate] * 21),
        "signals": signals(rate),
    }
    return PairMarket(**{**values, **changes})  # type: ignore[arg-type]


def snapshot(*markets: PairMarket, at: datetime = INSTANT) -> MarketSnapshot:
    return MarketSnapshot(at, {m.pair.name: m for m in markets})
