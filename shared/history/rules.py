"""The trading rules and the stated book model of recorded symbols, as plain data."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from shared.history.records import MalformedHistory
from shared.venue.rules import Rule

SAMPLE_RULES: Final = Path(__file__).parent / "sample" / "instruments.toml"
CATEGORIES: Final = ("linear", "spot")


@dataclass(frozen=True, slots=True)
class ProductRules:
    """One product: how it trades, what it costs, and the book that stands around a close.

    Prices in quote per base, quantities in base, notionals in quote; fees and funding bounds are
    fractions of notional. ``half_spread_bps`` is the distance from the close to either touch in
    hundredths of a percent, ``level_notional`` the value of the first level. ``funding_cap`` is
    the bound of one settlement either way, None for spot. ``price_band`` bounds limit prices around
    mark or index, as a fraction; None where that was not recorded. ``launch_ms`` is UTC ms.
    """

    category: str
    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    max_leverage: Decimal
    maintenance_rate: Decimal
    half_spread_bps: Decimal
    level_notional: Decimal
    launch_ms: int
    funding_cap: Decimal | None = None
    price_band: Decimal | None = None


def sample_rules() -> tuple[ProductRules, ...]:
    """Return the rules of the sample's five symbols, linear then spot, by symbol."""
    return read_rules(SAMPLE_RULES)


def read_rules(path: Path) -> tuple[ProductRules, ...]:
    """Return the products that ``path`` (TOML) states, by category and symbol.

    Raises:
        MalformedHistory: the file, a field or a number is missing, unknown or senseless.
    """
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise MalformedHistory(f"{path}: {error}; write the file again") from error
    products = []
    for category in CATEGORIES:
        for symbol in sorted(stated.get(category, {})):
            shared_fields = stated.get("defaults", {}).get(category, {})
            fields = shared_fields | stated[category][symbol]
            products.append(_product(f"{path}: {category} {symbol}", category, symbol, fields))
    if not products:
        raise MalformedHistory(f"{path}: states no product; add one")
    return tuple(products)


def venue_rule(product: ProductRules) -> Rule:
    """Return the venue's rule of one recorded product."""
    return Rule(
        category=product.category,
        symbol=product.symbol,
        base=product.base,
        quote=product.quote,
        tick=product.tick,
        step=product.step,
        min_qty=product.min_qty,
        max_qty=product.max_qty,
        min_notional=product.min_notional,
        taker_fee=product.taker_fee,
        maker_fee=product.maker_fee,
        max_leverage=product.max_leverage,
        maintenance_rate=product.maintenance_rate,
        price_band=product.price_band,
    )


def _product(place: str, category: str, symbol: str, fields: Mapping[str, Any]) -> ProductRules:
    values: dict[str, Any] = {
        name: value if name in ("base", "quote", "launch_ms") else _number(place, name, value)
        for name, value in fields.items()
    }
    try:
        product = ProductRules(category=category, symbol=symbol, **values)
    except TypeError as error:
        raise MalformedHistory(f"{place}: {error}; state every field once") from error
    if (product.funding_cap is None) != (category == "spot"):
        raise MalformedHistory(f"{place}: funding_cap belongs to linear products; correct it")
    return product


def _number(place: str, name: str, value: Any) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and number > 0):
        raise MalformedHistory(f"{place}: {name} = {value!r} is no positive decimal in quotes")
    return number
