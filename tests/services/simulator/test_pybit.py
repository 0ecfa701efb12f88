"""Unmodified pybit trades here: only its addresses are changed."""

import asyncio
import queue
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pybit.unified_trading
import pytest
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket

from services.simulator.main import Simulator
from tests.services.simulator.books import check_books
from tests.services.simulator.builders import KEY, SECRET, START_MS, serving, settings, state

HOUR_MS = 3_600_000
Messages = queue.Queue[dict[str, Any]]


class Script:
    """What a user's own script does, in a thread of its own: pybit blocks."""

    def __init__(self, address: str, secret: str = SECRET, **how: bool) -> None:
        self._keys: dict[str, Any] = {"api_key": KEY, "api_secret": secret, **how}
        self.rest = HTTP(**self._keys)
        self.rest.endpoint = f"http://{address}"
        self.private: Messages = queue.Queue()
        self.linear: Messages = queue.Queue()
        self.spot: Messages = queue.Queue()
        self.sockets: list[WebSocket] = []

    def close(self) -> None:
        for socket in self.sockets:
            socket.exit()
        self.rest.client.close()

    def subscribe(self) -> None:
        private = self._socket("private")
        private.order_stream(self.private.put)
        private.execution_stream(self.private.put)
        private.position_stream(self.private.put)
        private.wallet_stream(self.private.put)
        linear = self._socket("linear")
        linear.ticker_stream("BTCUSDT", self.linear.put)
        linear.orderbook_stream(50, "BTCUSDT", self.linear.put)
        self._socket("spot").orderbook_stream(1, "BTCUSDT", self.spot.put)

    def order(self, category: str, side: str, qty: str, price: str, **more: Any) -> str:
        answer = self.rest.place_order(
            category=category,
            symbol="BTCUSDT",
            side=side,
            orderType="Limit",
            timeInForce="IOC",
            qty=qty,
            price=price,
            **more,
        )
        return str(answer["result"]["orderId"])

    def _socket(self, channel: str) -> WebSocket:
        keys = self._keys if channel == "private" else {}
        socket = WebSocket(channel_type=channel, testnet=False, **keys)
        self.sockets.append(socket)
        return socket


def until(messages: Messages, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        message = messages.get(timeout=20)
        if fits(message):
            return message


def executed(messages: Messages, kind: str, category: str) -> dict[str, Any]:
    """Return the first row of that kind that the private stream pushes."""
    message = until(
        messages,
        lambda m: (
            m["topic"] == "execution"
            and m["data"][0]["execType"] == kind
            and m["data"][0]["category"] == category
        ),
    )
    row: dict[str, Any] = message["data"][0]
    return row


def traded(address: str) -> dict[str, Any]:
    script = Script(address)
    try:
        rules = script.rest.get_instruments_info(category="linear")["result"]["list"]
        assert [rule["symbol"] for rule in rules] == ["BTCUSDT", "ETHUSDT"]
        script.subscribe()  # the third socket releases time
        first = until(script.linear, lambda m: m["topic"] == "tickers.BTCUSDT")
        assert first["ts"] == START_MS + 60_000
        assert first["data"]["nextFundingTime"] == str(START_MS + 8 * HOUR_MS)
        until(script.spot, lambda m: m["topic"] == "orderbook.1.BTCUSDT")

        script.order("spot", "Buy", "0.5", "45000", orderLinkId="spot-in")
        bought = executed(script.private, "Trade", "spot")
        script.order("linear", "Sell", "0.5", "30000", orderLinkId="perp-in")
        executed(script.private, "Trade", "linear")
        funded = executed(script.private, "Funding", "linear")
        script.order("linear", "Buy", "0.5", "50000", orderLinkId="perp-out", reduceOnly=True)
        executed(script.private, "Trade", "linear")
        script.order("spot", "Sell", "0.4995", "30000", orderLinkId="spot-out")
        executed(script.private, "Trade", "spot")
        with pytest.raises(InvalidRequestError, match="170141"):
            script.order("spot", "Sell", "0.0001", "30000", orderLinkId="spot-out")

        log = script.rest.get_transaction_log(startTime=START_MS, limit=50)["result"]["list"]
        executions = [
            row | {"category": category}
            for category in ("spot", "linear")
            for row in script.rest.get_executions(category=category, limit=100)["result"]["list"]
        ]
        wallet = script.rest.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]
        position = script.rest.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"]
        history = script.rest.get_funding_rate_history(category="linear", symbol="BTCUSDT", limit=1)
        return {
            "bought": bought,
            "funded": funded,
            "log": log[::-1],
            "executions": executions,
            "wallet": wallet,
            "position": position[0],
            "rate": history["result"]["list"][0],
        }
    finally:
        script.close()


@pytest.fixture
def pointed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulator], None]:
    def point(simulator: Simulator) -> None:
        base = f"ws://{simulator.address}/v5"
        monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", f"{base}/private")
        monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", f"{base}/public/{{CHANNEL_TYPE}}")

    return point


async def test_a_pybit_script_opens_a_pair_is_paid_and_closes_and_the_log_adds_up(
    tmp_path: Path, pointed_at: Callable[[Simulator], None]
) -> None:
    given = settings(tmp_path, autostart=True, speed=Decimal(20_000))
    async with serving(given) as simulator:
        pointed_at(simulator)
        seen = await asyncio.to_thread(traded, simulator.address)
        books = await state(simulator)
    assert seen["bought"]["execFee"] == "0.0005"
    assert seen["bought"]["feeCurrency"] == "BTC"
    funded = seen["funded"]
    assert (funded["execTime"], funded["side"]) == (str(START_MS + 8 * HOUR_MS), "Sell")
    # the sample's rate of 2023-11-11 08:00 UTC is positive, so the short received it
    assert Decimal(funded["execFee"]) < 0
    rate = -Decimal(funded["execFee"]) / Decimal(funded["execValue"])
    assert rate == Decimal(seen["rate"]["fundingRate"])
    assert seen["position"]["size"] == "0"
    wallet = {coin["coin"]: coin["walletBalance"] for coin in seen["wallet"]["coin"]}
    check_books(seen["executions"], seen["log"], wallet)
    assert books["wallet"]["USDT"] == wallet["USDT"]
    kinds = sorted(row["type"] for row in seen["log"])
    assert kinds == ["SETTLEMENT", *["TRADE"] * 6, "TRANSFER_IN"]
    assert books["counts"] == {"orders": 4, "executions": 4, "settlements": 1, "log": 8}
    assert books["positions"] == {}
