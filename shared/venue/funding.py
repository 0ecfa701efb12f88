"""Funding of a perpetual position at one settlement."""

from decimal import Decimal

from shared.venue.amounts import exact


@exact
def funding_received(size: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """Return what a position receives (+) or pays (-), quote units, unrounded.

    ``size`` is signed, base units: a long pays a positive rate, a short receives it.
    Source: Bybit V5 transaction log, field ``funding``; ``execFee`` has the opposite sign.
    """
    return -(size * mark * rate)
