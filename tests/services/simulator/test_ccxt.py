"""Unmodified ccxt trades here: only its addresses are changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest

from tests.services.simulator.books import check_books
from tests.services.simulator.builders import KEY, SECRET, START_MS, serving, settings, state

HOUR_MS = 3_600_000
Trades = asyncio.Queue[dict[str, Any]]
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


def pointed_at(address: str) -> Any:
    """Return a client all of whose addresses are ours: the lines that docs give to users."""
    exchange = ccxt.pro.bybit({"apiKey": KEY, "secret": SECRET})
    api = exchange.urls["api"]
    for name in ("spot", "futures", "v2", "public", "private"):
        api[name] = f"http://{address}"
    streams = api["ws"]
    for name in ("spot", "linear", "inverse", "option"):
        streams["public"][name] = f"ws://{address}/v5/public/{name}"
    streams["private"]["contract"] = f"ws://{address}/v5/private"
    streams["private"]["spot"]["unified"] = f"ws://{address}/v5/private"
    streams["private"]["trade"] = f"ws://{address}/v5/trade"
    return exchange


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[tuple[Any, Trades]]:
    """Load the instruments and listen to one's own trades until the block ends."""
    exchange = pointed_at(address)
    await exchange.load_markets()
    trades: Trades = asyncio.Queue()
    hearing = asyncio.create_task(hear(exchange, trades))
    try:
        yield exchange, trades
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await exchange.close()


async def hear(exchange: Any, trades: Trades) -> None:
    while True:
        for trade in await exchange.watch_my_trades():
            trades.put_nowait(trade)


async def filled(
    exchange: Any, trades: Trades, symbol: str, side: str, amount: float, price: int
) -> dict[str, Any]:
    """Send an order that crosses the book and return its trade."""
    params: dict[str, Any] = {"timeInForce": "IOC"}
    if (symbol, side) == (PERP, "buy"):
        params["reduceOnly"] = True
    order = await exchange.create_order(symbol, "limit", side, amount, price, params)
    while True:  # ccxt tells some trades again
        trade = await asyncio.wait_for(trades.get(), 10)
        if trade["order"] == order["id"]:
            assert trade["amount"] == amount
            return trade


async def funded(exchange: Any) -> dict[str, Any]:
    for _ in range(200):
        if paid := await exchange.fetch_funding_history(PERP):
            row: dict[str, Any] = paid[0]
            return row
        await asyncio.sleep(0.1)
    raise AssertionError("no settlement")


async def test_a_ccxt_script_opens_a_pair_is_paid_and_closes_and_the_books_agree(
    tmp_path: Path,
) -> None:
    given = settings(tmp_path, autostart=True, speed=Decimal(20_000))
    async with serving(given) as simulator, opened(simulator.address) as (exchange, trades):
        assert exchange.markets[PERP]["precision"] == {"amount": 0.001, "price": 0.1}
        spot_book, perp_book, ticker = await asyncio.gather(
            exchange.watch_order_book(SPOT),
            exchange.watch_order_book(PERP),  # the third socket releases time
            exchange.watch_ticker(PERP),
        )
        assert spot_book["bids"][0][0] < spot_book["asks"][0][0]
        assert perp_book["bids"][0][0] < perp_book["asks"][0][0]
        assert ticker["symbol"] == PERP
        coming = await exchange.fetch_funding_rate(PERP)
        assert coming["fundingTimestamp"] == START_MS + 8 * HOUR_MS

        bought = await filled(exchange, trades, SPOT, "buy", 0.5, 45_000)
        assert bought["fee"] == {"cost": 0.0005, "currency": "BTC", "rate": 0.001}
        await filled(exchange, trades, PERP, "sell", 0.5, 30_000)
        paid = await funded(exchange)
        [position] = await exchange.fetch_positions([PERP])
        assert (position["side"], position["contracts"]) == ("short", 0.5)
        await filled(exchange, trades, PERP, "buy", 0.5, 50_000)
        await filled(exchange, trades, SPOT, "sell", 0.4995, 30_000)

        assert paid["timestamp"] == START_MS + 8 * HOUR_MS
        assert paid["amount"] < 0  # a fee not paid: the rate was positive, the short received
        executions = [
            row["info"] | {"category": category}
            for rows, category in (
                (await exchange.fetch_my_trades(SPOT, since=START_MS), "spot"),
                (await exchange.fetch_my_trades(PERP, since=START_MS), "linear"),
                (await exchange.fetch_funding_history(PERP, since=START_MS), "linear"),
            )
            for row in rows
        ]
        ledger = await exchange.fetch_ledger(since=START_MS, limit=50)
        span = {"startTime": START_MS, "limit": 50}
        log = (await exchange.private_get_v5_account_transaction_log(span))["result"]["list"]
        balance = await exchange.fetch_balance()
        books = await state(simulator)
    coins = balance["info"]["result"]["list"][0]["coin"]
    wallet = {coin["coin"]: coin["walletBalance"] for coin in coins}
    assert len(ledger) == len(log)
    check_books(executions, log[::-1], wallet)
    assert balance["USDT"]["total"] == pytest.approx(float(wallet["USDT"]), rel=1e-15)
    assert books["positions"] == {}
    assert books["wallet"]["USDT"] == wallet["USDT"]
    assert (books["counts"]["orders"], books["counts"]["executions"]) == (4, 4)
