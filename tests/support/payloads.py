"""Real payloads of the venue, and which of our parsers each is for."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.domain.errors import Malformed
from shared.domain.instrument import Category
from shared.exchange.bybit.board import QuoteBoard
from shared.exchange.bybit.frames import as_frame
from shared.exchange.bybit.parse import (
    Row,
    category_of,
    parse_bars,
    parse_execution,
    parse_instrument,
    parse_key,
    parse_log_row,
    parse_order,
    parse_position,
    parse_private,
    parse_rates,
    parse_time,
    parse_wallet,
    rows,
    stamp,
    text,
)
from shared.exchange.bybit.rest import result_of
from shared.exchange.bybit.values import envelope_values

FOLDER: Final = Path(__file__).parents[1] / "data" / "fixtures"
BESIDE: Final = Path(__file__).parents[3] / "shared" / "fixtures"
"""More of them, beside the repository: their licence keeps them out of it."""
SETS: Final = {
    index.parent.name: index.parent
    for folder in (BESIDE, FOLDER)
    for index in sorted(folder.glob("*/index.json"))
}
"""The folder of each set that is there; of two, our own."""
SENT: Final = ("request", "subscribe")

Reader = Callable[[Row], Any]


@dataclass(frozen=True)
class Payload:
    """One example: ``topic`` is an endpoint's path or a topic; ``sent`` when a client says it."""

    name: str
    topic: str
    sent: bool

    def read(self) -> Any:
        folder, _, file = self.name.partition("/")
        return json.loads((SETS[folder] / file).read_text())


def payloads() -> Iterator[Payload]:
    """Yield every file of every set, each named by its index."""
    for name, folder in SETS.items():
        for entry in json.loads((folder / "index.json").read_text())["files"]:
            topic = entry.get("endpoint") or entry.get("topic") or ""
            yield Payload(f"{name}/{entry['file']}", topic, entry.get("kind") in SENT)


def reader_of(payload: Payload) -> Reader:
    """Return what reads a payload: the parser of feed or gateway, else that of any payload."""
    if payload.topic.startswith("/"):
        row_reader = RESULTS.get(payload.topic)
        if row_reader is None:
            return envelope_values
        return lambda body: row_reader(result_of(body, Malformed))
    kind = payload.topic.partition(".")[0]
    return MESSAGES.get(kind, envelope_values) if payload.topic.count(".") <= 2 else envelope_values


def _each(parse: Callable[[Row, Category], Any]) -> Reader:
    """Read the rows of the products we trade; the others are passed over."""

    def read(result: Row) -> list[Any]:
        stated = category_of(result, Category.LINEAR)
        found = [(row, category_of(row, stated)) for row in rows(result)]
        return [parse(row, category) for row, category in found if category is not None]

    return read


def _board(message: Row) -> list[Any]:
    """Feed one public message to a fresh board; what it set aside is a refusal."""
    board = QuoteBoard()
    board.apply(Category.LINEAR, as_frame(message))
    board.apply(Category.SPOT, as_frame(message))
    quotes = board.take()
    if board.malformed:
        raise Malformed("set aside by the board")
    return quotes


RESULTS: Final[Mapping[str, Reader]] = {
    "/v5/account/info": lambda result: text(result, "marginMode"),
    "/v5/account/instruments-info": _each(parse_instrument),
    "/v5/account/transaction-log": lambda result: [parse_log_row(row) for row in rows(result)],
    "/v5/account/wallet-balance": parse_wallet,
    "/v5/account/set-limit-px-action": lambda _: None,
    "/v5/execution/list": _each(parse_execution),
    "/v5/market/funding/history": parse_rates,
    "/v5/market/instruments-info": _each(parse_instrument),
    "/v5/market/kline": parse_bars,
    "/v5/market/orderbook": lambda result: stamp(result, "ts"),
    "/v5/market/time": parse_time,
    "/v5/order/cancel": lambda _: None,
    "/v5/order/create": lambda result: text(result, "orderId"),
    "/v5/order/history": _each(parse_order),
    "/v5/order/realtime": _each(parse_order),
    "/v5/position/list": lambda result: [parse_position(row) for row in rows(result)],
    "/v5/pre-upgrade/account/transaction-log": lambda result: [
        parse_log_row(row) for row in rows(result)
    ],
    "/v5/pre-upgrade/execution/list": _each(parse_execution),
    "/v5/pre-upgrade/order/history": _each(parse_order),
    "/v5/user/query-api": parse_key,
}
MESSAGES: Final[Mapping[str, Reader]] = {
    "execution": lambda message: list(parse_private(message)),
    "order": lambda message: list(parse_private(message)),
    "orderbook": _board,
    "tickers": _board,
}
