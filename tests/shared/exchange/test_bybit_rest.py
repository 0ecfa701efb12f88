"""Writes and reads over HTTP: what is sent, once, and what each answer means."""

import asyncio
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from starlette.responses import Response

from shared.domain.errors import (
    ExchangeUnavailable,
    InsufficientMargin,
    Malformed,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from shared.domain.instrument import Category
from shared.domain.order import OrderTicket, Side
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.errors import Banned, Disarmed, Throttled
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials, RestClient
from shared.runtime.clock import SystemClock
from tests.support.scripted_venue import Asked, ScriptedVenue, envelope

CREATE = "/v5/order/create"


def ticket(category: Category = Category.LINEAR, *, reduce_only: bool = False) -> OrderTicket:
    return OrderTicket(
        link_id="r1-abc",
        category=category,
        symbol="BTCUSDT",
        side=Side.SELL,
        quantity=Decimal("0.0250"),
        limit_price=Decimal("37000.10"),
        reduce_only=reduce_only,
    )


def now() -> datetime:
    return datetime.now(UTC)


async def test_an_order_is_signed_with_the_instant_it_was_journaled_at(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1", "orderLinkId": "r1-abc"})
    signed_at = now() - timedelta(milliseconds=400)

    assert await gateway.place_order(ticket(), signed_at) == "o-1"

    [asked] = venue.asked
    stamp = asked.headers["x-bapi-timestamp"]
    assert int(stamp) == int(signed_at.timestamp() * 1000)
    assert asked.headers["x-bapi-recv-window"] == "3000"
    signed = f"{stamp}key-13000{asked.raw}".encode()
    expected = hmac.new(b"secret-1", signed, hashlib.sha256).hexdigest()
    assert asked.headers["x-bapi-sign"] == expected


async def test_a_perpetual_order_states_mode_and_reduce_only_and_numbers_as_text(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    await gateway.place_order(ticket(reduce_only=True), now())
    assert venue.asked[0].fields == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Sell",
        "orderType": "Limit",
        "timeInForce": "IOC",
        "qty": "0.025",
        "price": "37000.1",
        "orderLinkId": "r1-abc",
        "positionIdx": 0,
        "reduceOnly": True,
    }


async def test_a_spot_buy_is_a_limit_order_of_coins(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    await gateway.place_order(replace(ticket(Category.SPOT), side=Side.BUY), now())
    # A market order's quantity would be money, not coins, unless its unit were stated.
    assert venue.asked[0].fields == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "timeInForce": "IOC",
        "qty": "0.025",
        "price": "37000.1",
        "orderLinkId": "r1-abc",
        "isLeverage": 0,
    }


async def test_a_spot_order_never_borrows(venue: ScriptedVenue, gateway: BybitGateway) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    await gateway.place_order(ticket(Category.SPOT), now())
    assert venue.asked[0].fields["isLeverage"] == 0
    assert "reduceOnly" not in venue.asked[0].fields


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (110007, InsufficientMargin),
        (170131, InsufficientMargin),
        (110094, OrderRejected),
        (170140, OrderRejected),
        (10001, OrderRejected),
        (10002, RateLimited),
        (10006, Throttled),
        (-1, RateLimited),
        (110072, OutcomeUnknown),
        (170141, OutcomeUnknown),
        (10000, OutcomeUnknown),
        (10016, OutcomeUnknown),
        (170007, OutcomeUnknown),
        (987654, OutcomeUnknown),
        (10003, Disarmed),
        (33004, Disarmed),
    ],
)
async def test_a_refused_order_means_what_the_table_says_and_is_sent_once(
    venue: ScriptedVenue, gateway: BybitGateway, code: int, expected: type[Exception]
) -> None:
    venue.refuse(CREATE, code)
    with pytest.raises(expected) as caught:
        await gateway.place_order(ticket(), now())
    assert type(caught.value) is expected
    assert len(venue.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 429, 404])
async def test_a_write_that_breaks_in_transport_is_in_doubt(
    venue: ScriptedVenue, gateway: BybitGateway, status: int
) -> None:
    venue.answers[CREATE] = lambda _: Response(status_code=status)
    with pytest.raises(OutcomeUnknown):
        await gateway.place_order(ticket(), now())
    assert len(venue.asked) == 1


async def test_an_ip_ban_means_not_taken(venue: ScriptedVenue, gateway: BybitGateway) -> None:
    venue.answers[CREATE] = lambda _: Response(status_code=403)
    with pytest.raises(Banned):
        await gateway.place_order(ticket(), now())


@pytest.mark.parametrize("body", ["<html>", "[]", '{"retCode":0}', '{"retCode":0,"result":{}}'])
async def test_an_unreadable_answer_to_a_write_is_in_doubt(
    venue: ScriptedVenue, gateway: BybitGateway, body: str
) -> None:
    venue.answers[CREATE] = lambda _: Response(body, media_type="application/json")
    with pytest.raises(OutcomeUnknown):
        await gateway.place_order(ticket(), now())


async def test_a_venue_that_does_not_answer_leaves_a_write_in_doubt() -> None:
    gateway = BybitGateway(
        Endpoints("http://127.0.0.1:9", "ws://127.0.0.1:9"),
        Credentials("k", "s"),
        venue="replay",
        clock=SystemClock(),
        draw=lambda: 0.0,
    )
    with pytest.raises(OutcomeUnknown):
        await gateway.place_order(ticket(), now())
    with pytest.raises(ExchangeUnavailable):
        await gateway.read_wallet()
    await gateway.close()


async def test_a_send_that_stalled_for_over_a_second_is_abandoned(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    with pytest.raises(RateLimited):
        await gateway.place_order(ticket(), now() - timedelta(seconds=1.5))
    assert venue.asked == []


async def test_a_send_that_waited_for_a_thread_for_over_a_second_is_abandoned(
    venue: ScriptedVenue,
) -> None:
    """The budget's turn was in time; what came after it was not."""
    venue.on(CREATE, {"orderId": "o-1"})
    rest = RestClient(venue.rest, Credentials("key-1", "secret-1"), clock=SystemClock())
    with pytest.raises(RateLimited):
        await rest.write("place_order", {}, signed_at=now() - timedelta(seconds=1.5))
    await rest.close()
    assert venue.asked == []


@pytest.mark.parametrize("code", [110001, 110008, 110010, 170213, 170142])
async def test_cancelling_what_is_final_counts_as_done(
    venue: ScriptedVenue, gateway: BybitGateway, code: int
) -> None:
    venue.refuse("/v5/order/cancel", code)
    await gateway.cancel_order(Category.LINEAR, "BTCUSDT", "r1-abc")
    assert venue.asked[0].fields["orderLinkId"] == "r1-abc"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(10006, Throttled), (10016, ExchangeUnavailable), (10003, Disarmed)],
)
async def test_a_refused_read_is_named_after_its_remedy(
    venue: ScriptedVenue, gateway: BybitGateway, code: int, expected: type[Exception]
) -> None:
    venue.refuse("/v5/account/wallet-balance", code)
    with pytest.raises(expected) as caught:
        await gateway.read_wallet()
    assert type(caught.value) is expected
    assert len(venue.asked) == 1


async def test_a_read_that_is_no_json_is_malformed(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.answers["/v5/account/wallet-balance"] = lambda _: Response("<html>")
    with pytest.raises(Malformed):
        await gateway.read_wallet()


async def test_an_order_does_not_queue_behind_slow_reads(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    venue.on("/v5/account/wallet-balance", {"list": []})
    venue.held["/v5/account/wallet-balance"] = asyncio.Event()
    reads = [asyncio.create_task(gateway.read_wallet()) for _ in range(12)]
    assert await asyncio.wait_for(gateway.place_order(ticket(), now()), 2) == "o-1"
    venue.held["/v5/account/wallet-balance"].set()
    assert await asyncio.gather(*reads) == [{}] * 12


async def test_all_pages_of_a_log_come_in_booking_order(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    pages = {
        "": (["e", "d"], "c1"),
        "c1": (["c", "b"], "c2"),
        "c2": (["a"], ""),
    }

    def log_page(asked: Asked) -> dict[str, Any]:
        ids, cursor = pages[asked.fields.get("cursor", "")]
        return envelope({"list": [log_row(i) for i in ids], "nextPageCursor": cursor})

    venue.answers["/v5/account/transaction-log"] = log_page
    venue.on("/v5/market/orderbook", {"s": "BTCUSDT", "b": [], "a": [], "ts": 1_672_128_000_000})
    start = datetime(2022, 12, 27, tzinfo=UTC)
    log = await gateway.read_transaction_log(start)
    assert [row.key.partition(":")[0] for row in log] == ["a", "b", "c", "d", "e"]


async def test_a_long_span_is_read_in_windows_of_seven_days(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on("/v5/account/transaction-log", {"list": [], "nextPageCursor": ""})
    start = datetime(2022, 12, 1, tzinfo=UTC)
    venue_now = int((start + timedelta(days=15)).timestamp() * 1000)
    venue.on("/v5/market/orderbook", {"s": "BTCUSDT", "b": [], "a": [], "ts": venue_now})
    await gateway.read_transaction_log(start)
    windows = [
        (int(a.fields["endTime"]) - int(a.fields["startTime"])) / 86_400_000
        for a in venue.asked
        if "log" in a.path
    ]
    assert len(windows) == 3
    assert all(6.99 < days <= 7 for days in windows)


def log_row(identity: str) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "TRADE",
        "currency": "USDT",
        "tradeId": "t",
        "transactionTime": "1672128000000",
        "change": "-1",
        "cashBalance": "9",
        "fee": "1",
        "cashFlow": "0",
        "funding": "",
    }
