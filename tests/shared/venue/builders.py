"""A small account on one coin: round prices, round fees, a book of two levels a side."""

from dataclasses import replace
from decimal import Decimal

from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from shared.venue.rules import Refused, Rule

D = Decimal

SPOT = Rule("spot", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.0001"), D("0.0001"), D(50), D(5),
            D("0.001"), D("0.001"))  # fmt: skip
LINEAR = Rule("linear", "BTCUSDT", "BTC", "USDT", D("0.1"), D("0.001"), D("0.001"), D(100), D(5),
              D("0.00055"), D("0.0002"))  # fmt: skip


def venue(usdt: str = "10000", **changes: object) -> Exchange:
    """Return an account with ``usdt``; bids 99 and 98, asks 101 and 102, 2 coins at each level."""
    rules = [replace(rule, **changes) for rule in (SPOT, LINEAR)]  # type: ignore[arg-type]
    exchange = Exchange(rules, {"USDT": D(usdt)}, 1_000)
    exchange.set_mark("BTCUSDT", D(100), D(100))
    for category in ("spot", "linear"):
        set_book(exchange, category)
    return exchange


def set_book(exchange: Exchange, category: str, bid: int = 99, ask: int = 101) -> None:
    bids = [(D(bid), D(2)), (D(bid - 1), D(2))]
    asks = [(D(ask), D(2)), (D(ask + 1), D(2))]
    exchange.set_book(category, "BTCUSDT", bids, asks)


def order(
    category: str, side: str, qty: str, price: str | None = None, **more: object
) -> OrderRequest:
    kind = "Market" if price is None else "Limit"
    limit = None if price is None else D(price)
    return OrderRequest(category, "BTCUSDT", side, kind, D(qty), limit, **more)  # type: ignore[arg-type]


def refusal(exchange: Exchange, request: OrderRequest) -> int:
    """Return the code with which an order is refused, having changed nothing; 0 when accepted."""
    exchange.drain()
    before = exchange.snapshot()
    try:
        exchange.place(request)
    except Refused as refused:
        assert exchange.snapshot() == before
        assert exchange.drain() == []
        return refused.code
    return 0
