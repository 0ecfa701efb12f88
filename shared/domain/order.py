"""Orders, fills and the client order id."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Final

from shared.domain.errors import Malformed, require
from shared.domain.instrument import Category

ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
PLAN_ID_LENGTH: Final = 20


class Side(StrEnum):
    """As the venue writes it."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def sign(self) -> int:
        """Plus one when it adds base units."""
        return 1 if self is Side.BUY else -1


class Leg(StrEnum):
    """The two legs of a pair, as written into a client order id."""

    SPOT = "s"
    PERP = "p"

    @property
    def category(self) -> Category:
        """The product this leg trades."""
        return Category.SPOT if self is Leg.SPOT else Category.LINEAR


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """One limit order, ready to be sent: immediate-or-cancel, or post-only if it ``rests``.

    ``is_first`` when nothing of its plan stands yet that would wait for it.
    """

    link_id: str
    category: Category
    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool
    rests: bool = False
    is_first: bool = False

    @property
    def opens(self) -> bool:
        """Whether it begins a new risk: neither hedges, nor takes back, nor closes."""
        sells_spot = self.category is Category.SPOT and self.side is Side.SELL
        return self.is_first and not (self.reduce_only or sells_spot)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. ``fee`` positive is paid, in ``fee_currency``."""

    category: Category
    exec_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    venue_at: datetime

    @property
    def value(self) -> Decimal:
        """Quantity times price, in quote units."""
        return self.quantity * self.price


def content_id(*parts: str) -> str:
    """Return a 100-bit hash of ``parts`` as 20 characters: the id of a decision, intent or plan."""
    digest = int.from_bytes(sha256("\x1f".join(parts).encode()).digest(), "big") >> 156
    return _base32(digest, PLAN_ID_LENGTH)


def client_order_id(environment: str, plan_id: str, leg: Leg, attempt: int) -> str:
    """Return the id of one attempt: a pure function of environment, plan, leg and attempt number.

    Two characters of environment, 20 of plan, the leg, two of attempt, four of check: 29 in all.
    Source: Bybit V5 create-order, ``orderLinkId``: at most 36 of letters, digits, dash, underscore.
    """
    require(len(environment) == 2, f"environment {environment!r} is not two characters")
    require(len(plan_id) == PLAN_ID_LENGTH, f"plan id {plan_id!r} is not 20 characters")
    require(0 <= attempt < 1024, f"attempt {attempt} is out of range")
    body = f"{environment}{plan_id}{leg.value}{_base32(attempt, 2)}"
    return body + _check(body)


def parse_client_order_id(link_id: str) -> tuple[str, str, Leg, int]:
    """Return (environment, plan id, leg, attempt) of an id of ours.

    Raises: Malformed when it is not one of ours, as for an order a person placed.
    """
    body, check = link_id[:-4], link_id[-4:]
    if len(link_id) != 29 or _check(body) != check:
        raise Malformed(f"{link_id!r} is no client order id of ours")
    number = sum(ID_ALPHABET.index(c) * 32**i for i, c in enumerate(reversed(body[23:25])))
    return body[:2], body[2:22], Leg(body[22]), number


def _base32(number: int, length: int) -> str:
    digits = [ID_ALPHABET[(number >> (5 * place)) & 31] for place in range(length)]
    return "".join(reversed(digits))


def _check(body: str) -> str:
    return _base32(int.from_bytes(sha256(body.encode()).digest(), "big") >> 236, 4)
