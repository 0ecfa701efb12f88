"""Whether a product takes an order now: delisting, and how many may rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.venue.records import Order, OrderRequest
from shared.venue.rules import Refused, Rule

OPEN_ORDERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Delisting:
    """When a perpetual takes no new positions, and when what is left is closed; venue time."""

    reduce_only_ms: int
    deliver_ms: int


def check_delisting(
    request: OrderRequest, reducible: Decimal, delisting: Delisting | None, now_ms: int
) -> None:
    """Raise Refused (30228, 110074) when the product is on its way out.

    ``reducible`` is how much of the position the order could close.
    """
    if delisting is None or now_ms < delisting.reduce_only_ms:
        return
    if now_ms >= delisting.deliver_ms:
        raise Refused(110074, "This contract is not live")
    if not request.reduce_only and request.qty > reducible:
        raise Refused(30228, "No new positions during delisting.")


def check_room(rule: Rule, request: OrderRequest, resting: Sequence[Order]) -> None:
    """Raise Refused (110020, 170810) when as many orders rest as the venue keeps.

    500 for each perpetual, 500 over all of spot. Source: Bybit V5, create-order.
    """
    if request.order_type != "Limit" or request.time_in_force not in ("GTC", "PostOnly"):
        return
    kept = [o for o in resting if o.category == rule.category]
    if rule.category == "spot":
        if len(kept) >= OPEN_ORDERS_MAX:
            raise Refused(170810, "Cannot exceed maximum of 500 active orders.")
    elif sum(o.symbol == rule.symbol for o in kept) >= OPEN_ORDERS_MAX:
        raise Refused(110020, "Not allowed to have more than 500 active orders")
