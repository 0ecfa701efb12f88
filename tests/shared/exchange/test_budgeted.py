"""The budget on the wire: what the venue's refusals stop, counted in requests that arrive."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from starlette.responses import JSONResponse, Response

from shared.domain.errors import RateLimited
from shared.domain.instrument import Category
from shared.domain.order import OrderTicket, Side
from shared.exchange.bybit.errors import Banned, Throttled
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.ports import OrderReport, StreamReset
from tests.shared.exchange.conftest import Bans
from tests.shared.exchange.test_bybit_parse import ORDER
from tests.shared.exchange.test_bybit_stream import PRIVATE, private
from tests.support.scripted_venue import ScriptedVenue, envelope

CREATE = "/v5/order/create"
WALLET = "/v5/account/wallet-balance"
LOG = "/v5/account/transaction-log"


def ticket(category: Category = Category.LINEAR, *, is_first: bool = False) -> OrderTicket:
    return OrderTicket(
        "r1-abc", category, "BTCUSDT", Side.SELL if category is Category.LINEAR else Side.BUY,
        Decimal("0.025"), Decimal(37_000), reduce_only=False, is_first=is_first,
    )  # fmt: skip


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_ban_stops_every_request_but_not_the_private_stream(
    venue: ScriptedVenue, gateway: BybitGateway, bans: Bans
) -> None:
    venue.answers[WALLET] = lambda _: Response("access too frequent", status_code=403)
    venue.on(CREATE, {"orderId": "o-1"})
    events = gateway.private_events()
    assert isinstance(await asyncio.wait_for(anext(events), 5), StreamReset)
    with pytest.raises(Banned):
        await gateway.read_wallet()
    for _ in range(50):
        with pytest.raises(Banned):
            await gateway.place_order(ticket(), now())
        with pytest.raises(Banned):
            await gateway.cancel_order(Category.LINEAR, "BTCUSDT", "r1-abc")
        with pytest.raises(Banned):
            await gateway.read_open_orders()
    assert [asked.path for asked in venue.asked] == [WALLET]
    assert bans.times == 1
    await venue.push(PRIVATE, private("order", {**ORDER, "category": "spot"}))
    assert isinstance(await asyncio.wait_for(anext(events), 5), OrderReport)
    await events.aclose()  # type: ignore[attr-defined]


async def test_too_many_visits_stop_that_kind_of_call_until_the_venue_resets_it(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    resets_at = now() + timedelta(seconds=0.6)
    stamp = {"X-Bapi-Limit-Reset-Timestamp": str(int(resets_at.timestamp() * 1000))}
    venue.answers[CREATE] = lambda asked: (
        JSONResponse(envelope({}, code=10006), headers=stamp)
        if asked.fields["category"] == "linear" and now() < resets_at
        else envelope({"orderId": "o-1"})
    )
    with pytest.raises(Throttled) as caught:
        await gateway.place_order(ticket(), now())
    assert caught.value.resets_at == datetime.fromtimestamp(int(stamp.popitem()[1]) / 1000, UTC)
    later = asyncio.create_task(gateway.place_order(ticket(), now()))
    assert await gateway.place_order(ticket(Category.SPOT), now()) == "o-1"
    assert not later.done()
    assert await asyncio.wait_for(later, 5) == "o-1"
    assert len(venue.asked) == 3  # refused once, spot, and again only when it was allowed


async def test_opens_beyond_their_part_are_not_sent_and_a_hedge_is(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    """Seven opens of ten a second; the eighth's signature would be too old for its turn."""
    venue.on(CREATE, {"orderId": "o-1"})
    old = timedelta(seconds=0.9)
    opens = [gateway.place_order(ticket(is_first=True), now()) for _ in range(7)]
    assert await asyncio.gather(*opens) == ["o-1"] * 7
    with pytest.raises(RateLimited):
        await gateway.place_order(ticket(is_first=True), now() - old)
    assert len(venue.asked) == 7
    assert await gateway.place_order(ticket(), now()) == "o-1"
    assert len(venue.asked) == 8


async def test_slow_pages_of_every_kind_leave_an_order_its_thread(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on(CREATE, {"orderId": "o-1"})
    slow = asyncio.Event()
    for path in (WALLET, "/v5/position/list", "/v5/execution/list", "/v5/account/info"):
        venue.on(path, {"list": []})
        venue.held[path] = slow
    reads = [
        asyncio.create_task(read())
        for read in (
            gateway.read_wallet,
            gateway.read_positions,
            lambda: gateway.read_executions(Category.SPOT),
        )
        for _ in range(20)
    ]
    opens = [asyncio.create_task(gateway.place_order(ticket(is_first=True), now()))]
    hedges = [asyncio.create_task(gateway.place_order(ticket(), now())) for _ in range(8)]
    assert await asyncio.wait_for(asyncio.gather(*opens, *hedges), 2) == ["o-1"] * 9
    assert sum(asked.path != CREATE for asked in venue.asked) == 5
    slow.set()
    await asyncio.gather(*reads)


@pytest.mark.parametrize(
    ("category", "side", "reduce_only", "is_first", "opens"),
    [
        (Category.SPOT, Side.BUY, False, True, True),
        (Category.LINEAR, Side.SELL, False, True, True),
        (Category.LINEAR, Side.SELL, False, False, False),  # the hedge
        (Category.SPOT, Side.BUY, False, False, False),
        (Category.SPOT, Side.SELL, False, True, False),  # the first of a close
        (Category.LINEAR, Side.BUY, True, True, False),
    ],
)
def test_only_the_first_order_that_adds_opens(
    category: Category, side: Side, reduce_only: bool, is_first: bool, opens: bool
) -> None:
    order = OrderTicket(
        "id", category, "BTCUSDT", side, Decimal(1), Decimal(1), reduce_only, is_first=is_first
    )
    assert order.opens is opens
