"""Which topics each websocket of the venue has, and why a subscription cannot be had."""

from collections.abc import Container, Mapping, Sequence
from typing import Final

from services.simulator.board import DERIVED, KINDS
from services.simulator.connection import PRIVATE
from services.simulator.pool import TOPIC as ALERTS
from services.simulator.tape import LIQUIDATIONS, TRADES

STATUS: Final = "misc/status"
STATUS_TOPIC: Final = "system.status"
OPTION: Final = "option"
CHANNELS: Final[Mapping[str, str]] = {
    f"/v5/public/{name}": name for name in ("linear", "spot", "inverse", OPTION, "spread", STATUS)
} | {"/v5/private": PRIVATE}
"""Websockets by path. Inverse, options and combinations are there with nothing listed on them."""
SPOT_ARGS_MAX: Final = 10
OPTION_ARGS_MAX: Final = 2_000
ARGS_CHARACTERS_MAX: Final = 21_000
FAST: Final = "execution.fast"
PUBLIC_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "linear": (*KINDS, *DERIVED, TRADES, LIQUIDATIONS),
    "spot": (*KINDS, *DERIVED, TRADES),
}
PRODUCTS: Final = ("spot", "linear", "inverse", "option")
PRIVATE_TOPICS: Final[Mapping[str, Sequence[str]]] = {
    "order": PRODUCTS,
    "execution": PRODUCTS,
    "position": ("linear", "inverse", "option"),
    "wallet": (),
    "greeks": (),
    FAST: PRODUCTS,
    "dcp": ("spot", "future", "option"),
    "spread.order": (),
    "spread.execution": (),
}
"""Private topics with their categories; those of products that are not traded stay silent."""


def public_objection(
    channel: str,
    topics: Sequence[str],
    taken: Container[str],
    characters: int,
    products: Container[tuple[str, str]],
) -> str:
    """Return why public topics cannot be had; nothing when they can.

    ``characters`` is the length of what the connection holds already. Source: bybit-v5.md 10.1.
    """
    if channel == "spot" and len(topics) > SPOT_ARGS_MAX:
        return f"args size >{SPOT_ARGS_MAX}"
    if channel == OPTION and len(topics) > OPTION_ARGS_MAX:
        return f"args size >{OPTION_ARGS_MAX}"
    if characters + sum(len(t) for t in topics if t not in taken) > ARGS_CHARACTERS_MAX:
        return f"args length >{ARGS_CHARACTERS_MAX}"
    for topic in topics:
        kind, _, symbol = topic.rpartition(".")
        listed = kind in PUBLIC_KINDS.get(channel, ()) and (channel, symbol) in products
        if not (listed or (channel, topic) in (("linear", ALERTS), (STATUS, STATUS_TOPIC))):
            return f"error:handler not found,topic:{topic}"
    return ""


def private_objection(topics: Sequence[str]) -> str:
    """Return why private topics cannot be had; nothing when they can."""
    for topic in topics:
        name, category = parts(topic)
        if name not in PRIVATE_TOPICS or (category and category not in PRIVATE_TOPICS[name]):
            return f"error:handler not found,topic:{topic}"
        if category and name in topics:
            return "all-in-one and categorised topics cannot be mixed in one request"
    return ""


def parts(topic: str) -> tuple[str, str]:
    """Return a private topic's name and its category, if it has one."""
    if topic in PRIVATE_TOPICS:
        return topic, ""
    name, _, category = topic.rpartition(".")
    return name, category
