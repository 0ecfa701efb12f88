"""Recorded products as the core's pairs and as the venue's rules."""

from collections.abc import Iterable

from shared.domain.instrument import Category, Instrument, Pair
from shared.history.rules import ProductRules


def instrument(product: ProductRules) -> Instrument:
    """Return the core's instrument of one recorded product; it trades throughout."""
    return Instrument(
        category=Category(product.category),
        symbol=product.symbol,
        base=product.base,
        quote=product.quote,
        status="Trading",
        tick=product.tick,
        step=product.step,
        min_quantity=product.min_qty,
        max_quantity=product.max_qty,
        min_notional=product.min_notional,
        funding_cap=product.funding_cap,
    )


def pairs(products: Iterable[ProductRules], symbols: Iterable[str]) -> list[Pair]:
    """Return the pair of each symbol that has both legs, by name."""
    known = {(p.category, p.symbol): p for p in products}
    return [
        Pair(instrument(known["spot", symbol]), instrument(known["linear", symbol]))
        for symbol in sorted(symbols)
        if ("spot", symbol) in known and ("linear", symbol) in known
    ]
