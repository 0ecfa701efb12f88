"""What every TradingGateway does, held against a venue in its own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from shared.domain.errors import (
    InsufficientMargin,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    Rejected,
)
from shared.domain.instrument import Category
from shared.domain.order import OrderTicket, Side
from shared.exchange.ports import (
    ExecutionReport,
    LogRow,
    MarginRates,
    OrderReport,
    PrivateEvent,
    StreamReset,
    TradingGateway,
)
from tests.contract.conftest import OpenGateway
from tests.support.simulator import Simulator, simulator

pytestmark = pytest.mark.slow

SPOT, LINEAR = Category.SPOT, Category.LINEAR
START = datetime(2023, 11, 11, tzinfo=UTC)
NUMBERS = count(1)


def ticket(
    category: Category,
    side: Side,
    quantity: str,
    *,
    price: str | None = None,
    symbol: str = "BTCUSDT",
    reduce_only: bool = False,
) -> OrderTicket:
    """An order that crosses the book: BTC stood near 37,300 USDT at the start."""
    crossing = "38000" if side is Side.BUY else "36500"
    return OrderTicket(
        link_id=f"r1-contract-{next(NUMBERS)}",
        category=category,
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        limit_price=Decimal(price or crossing),
        reduce_only=reduce_only,
    )


def now() -> datetime:
    return datetime.now(UTC)


async def sent(gateway: TradingGateway, order: OrderTicket) -> str:
    """Send an order, again while the tests before leave no room in this second's budget."""
    while True:
        try:
            return await gateway.place_order(order, now())
        except RateLimited:
            await asyncio.sleep(0.2)


@asynccontextmanager
async def listening(gateway: TradingGateway) -> AsyncIterator[AsyncIterator[PrivateEvent]]:
    """Subscribe to the private stream; the reset has been read."""
    events = gateway.private_events()
    assert isinstance(await asyncio.wait_for(anext(events), 10), StreamReset)
    try:
        yield events
    finally:
        await events.aclose()  # type: ignore[attr-defined]


async def outcome_of(
    events: AsyncIterator[PrivateEvent], link_id: str
) -> tuple[OrderReport, list[ExecutionReport]]:
    """Read events until the order is final and its executions add up."""
    order: OrderReport | None = None
    executions: list[ExecutionReport] = []
    async with asyncio.timeout(5):
        while order is None or sum(e.fill.quantity for e in executions) < order.filled_quantity:
            event = await anext(events)
            if isinstance(event, ExecutionReport) and event.link_id == link_id:
                executions.append(event)
            elif isinstance(event, OrderReport) and event.link_id == link_id and event.is_final:
                order = event
    return order, executions


async def test_the_account_passes_its_check(gateway: TradingGateway) -> None:
    key = await gateway.check_account(["BTCUSDT", "ETHUSDT"], ["BTC", "ETH"])
    assert key.can_trade
    assert not key.can_withdraw


async def test_a_spot_buy_fills_and_pays_its_fee_in_base_coin(gateway: TradingGateway) -> None:
    before = await gateway.read_wallet()
    order = ticket(SPOT, Side.BUY, "0.1")
    async with listening(gateway) as events:
        order_id = await sent(gateway, order)
        report, executions = await outcome_of(events, order.link_id)
    assert (report.order_id, report.status) == (order_id, "Filled")
    assert report.filled_quantity == Decimal("0.1")
    assert report.filled_value == sum(e.fill.value for e in executions)
    assert {e.fill.fee_currency for e in executions} == {"BTC"}
    fees = sum(e.fill.fee for e in executions)
    assert fees == Decimal("0.0001")  # 0.1 % of 0.1
    after = await gateway.read_wallet()
    assert after["BTC"] - before.get("BTC", Decimal(0)) == Decimal("0.0999")
    assert before["USDT"] - after["USDT"] == report.filled_value


async def test_a_perpetual_short_is_a_negative_position_and_closes(
    gateway: TradingGateway,
) -> None:
    async with listening(gateway) as events:
        opening = ticket(LINEAR, Side.SELL, "0.1")
        await sent(gateway, opening)
        report, executions = await outcome_of(events, opening.link_id)
        [position] = await gateway.read_positions()
        assert (position.symbol, position.quantity) == ("BTCUSDT", Decimal("-0.1"))
        assert {e.fill.fee_currency for e in executions} == {"USDT"}
        value = report.filled_value
        assert sum(e.fill.fee for e in executions) == value * Decimal("0.00055")

        closing = ticket(LINEAR, Side.BUY, "0.1", reduce_only=True)
        await sent(gateway, closing)
        await outcome_of(events, closing.link_id)
    assert await gateway.read_positions() == []


async def test_a10_a_short_next_to_be_deleveraged_says_so(
    gateway: TradingGateway, pressed: Simulator, open_gateway: OpenGateway
) -> None:
    other = open_gateway(pressed)
    for at, rank in ((other, 5), (gateway, 0)):
        async with listening(at) as events:
            opening = ticket(LINEAR, Side.SELL, "0.1")
            await sent(at, opening)
            await outcome_of(events, opening.link_id)
            shown = await at.read_positions()
            assert [p.adl_rank for p in shown] == [rank]
            closing = ticket(LINEAR, Side.BUY, "0.1", reduce_only=True)
            await sent(at, closing)
            await outcome_of(events, closing.link_id)
    await other.close()


async def test_an_order_that_does_not_cross_ends_without_a_fill(gateway: TradingGateway) -> None:
    order = ticket(LINEAR, Side.BUY, "0.1", price="36500")
    async with listening(gateway) as events:
        await sent(gateway, order)
        report, executions = await outcome_of(events, order.link_id)
    assert (report.filled_quantity, executions) == (Decimal(0), [])
    assert await gateway.read_open_orders() == []


@pytest.mark.parametrize("category", list(Category))
async def test_the_same_id_sent_twice_trades_once(
    gateway: TradingGateway, category: Category
) -> None:
    order = ticket(category, Side.BUY, "0.01")
    order_id = await sent(gateway, order)
    with pytest.raises(OutcomeUnknown):
        await gateway.place_order(order, now())
    found = await gateway.read_order(category, "BTCUSDT", order.link_id)
    assert found is not None
    assert (found.order_id, found.is_final) == (order_id, True)
    executions = await gateway.read_executions(category, link_id=order.link_id)
    assert sum(e.fill.quantity for e in executions) == Decimal("0.01")


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        (ticket(SPOT, Side.BUY, "0.0001"), OrderRejected),  # 3.8 USDT, the least is 5
        (ticket(SPOT, Side.BUY, "50"), InsufficientMargin),
        (ticket(SPOT, Side.SELL, "5"), InsufficientMargin),
        (ticket(LINEAR, Side.SELL, "500"), InsufficientMargin),
        (ticket(LINEAR, Side.SELL, "0.0005"), OrderRejected),  # half a step
        (ticket(LINEAR, Side.BUY, "0.1", symbol="NOUSDT"), OrderRejected),
    ],
)
async def test_a_refused_order_leaves_no_trace(
    gateway: TradingGateway, order: OrderTicket, refusal: type[OrderRejected]
) -> None:
    with pytest.raises(refusal) as caught:
        await sent(gateway, order)
    assert type(caught.value) is refusal
    assert await gateway.read_executions(order.category, link_id=order.link_id) == []


async def test_an_order_signed_in_the_future_is_not_taken(gateway: TradingGateway) -> None:
    order = ticket(SPOT, Side.BUY, "0.01")
    with pytest.raises(RateLimited):
        await gateway.place_order(order, now() + timedelta(seconds=2))
    assert await gateway.read_order(SPOT, "BTCUSDT", order.link_id) is None


async def test_cancelling_what_is_not_there_is_done(gateway: TradingGateway) -> None:
    for category in Category:
        await gateway.cancel_order(category, "BTCUSDT", "r1-never-sent")


async def test_the_margin_that_a_short_binds_is_told(open_gateway: OpenGateway) -> None:
    with simulator() as venue:
        gateway = open_gateway(venue)
        before = await gateway.read_margin()
        await sent(gateway, ticket(LINEAR, Side.SELL, "0.5"))
        after = await gateway.read_margin()
        await gateway.close()
    assert before == MarginRates(Decimal(0), Decimal(0), Decimal(100_000))
    assert after.maintenance is not None
    assert after.initial is not None
    assert 0 < after.maintenance < after.initial < 1


@pytest.mark.parametrize("category", list(Category))
async def test_the_top_that_is_asked_for_is_where_an_order_fills(
    open_gateway: OpenGateway, category: Category
) -> None:
    with simulator() as venue:
        gateway = open_gateway(venue)
        top = await gateway.fetch_top(category, "BTCUSDT")
        order = ticket(category, Side.BUY, "0.002")
        await sent(gateway, order)
        [execution] = await gateway.read_executions(category, link_id=order.link_id)
        await gateway.close()
    assert (top.category, top.symbol, top.venue_at) == (category, "BTCUSDT", START)
    assert top.bid < top.ask == execution.fill.price
    assert top.ask_size >= Decimal("0.002")
    assert (top.mark, top.next_funding_at) == (None, None)


async def test_the_top_of_a_product_that_does_not_exist_is_a_wrong_question(
    gateway: TradingGateway,
) -> None:
    with pytest.raises(Rejected):
        await gateway.fetch_top(LINEAR, "NOUSDT")


async def test_the_log_explains_every_balance(gateway: TradingGateway) -> None:
    for category, side in ((SPOT, Side.BUY), (LINEAR, Side.SELL), (LINEAR, Side.BUY)):
        await sent(gateway, ticket(category, side, "0.02"))
    log = await gateway.read_transaction_log(START - timedelta(days=1))
    assert len({row.key for row in log}) == len(log)
    balances = chained(log)
    wallet = await gateway.read_wallet()
    assert {coin: amount for coin, amount in balances.items() if amount} == {
        coin: amount for coin, amount in wallet.items() if amount
    }


SLOW = """
faults:
  - kind: late_request
    where: order/create
    seconds: 0.3
"""


async def test_five_pairs_at_once_do_not_wait_for_one_another(open_gateway: OpenGateway) -> None:
    """Both legs of five pairs: ten orders of 0.3 s each, 3 s if one waited for the other."""
    orders = [ticket(SPOT, Side.BUY, "0.002") for _ in range(5)]
    orders += [ticket(LINEAR, Side.SELL, "0.002") for _ in range(5)]
    with simulator(script=SLOW) as venue:  # of its own: the venue takes ten such orders a second
        gateway = open_gateway(venue)
        async with listening(gateway) as events:
            loop = asyncio.get_running_loop()
            began = loop.time()
            sends = asyncio.gather(*(gateway.place_order(order, now()) for order in orders))
            left = {order.link_id for order in orders}
            async with asyncio.timeout(5):
                while left:
                    event = await anext(events)
                    if isinstance(event, ExecutionReport):
                        left.discard(event.link_id)
            await sends
            assert 0.3 < loop.time() - began < 1.5
        await gateway.close()


async def test_funding_is_an_execution_paid_and_a_log_row_received(
    open_gateway: OpenGateway,
) -> None:
    """A short of 0.1 BTC over the settlement of 08:00, which longs paid on that day."""
    with simulator(speed=36_000) as venue:
        gateway = open_gateway(venue)
        async with listening(gateway) as events:
            opening = ticket(LINEAR, Side.SELL, "0.1")
            await gateway.place_order(opening, now())
            await outcome_of(events, opening.link_id)
            venue.release()
            async with asyncio.timeout(10):
                while True:
                    event = await anext(events)
                    if isinstance(event, ExecutionReport) and event.exec_type == "Funding":
                        break
        assert event.fill.venue_at == START + timedelta(hours=8)
        assert event.fill.quantity == Decimal("0.1")
        assert event.fill.fee < 0
        log = await gateway.read_transaction_log(START)
        [row] = [row for row in log if row.kind == "SETTLEMENT"][:1]
        assert row.funding == -event.fill.fee
        assert row.change == row.funding
        chained(log)
        await gateway.close()


async def test_a_venue_that_dies_and_returns_knows_its_orders_and_says_reset(
    open_gateway: OpenGateway,
) -> None:
    with simulator() as venue:
        gateway = open_gateway(venue)
        async with listening(gateway) as events:
            order = ticket(SPOT, Side.BUY, "0.01")
            await gateway.place_order(order, now())
            await outcome_of(events, order.link_id)
            wallet = await gateway.read_wallet()
            venue.kill()
            venue.start(speed=3600, start="2023-11-11T00:00:00Z")
            async with asyncio.timeout(20):
                while not isinstance(await anext(events), StreamReset):
                    pass
        found = await gateway.read_order(SPOT, "BTCUSDT", order.link_id)
        assert found is not None
        assert found.filled_quantity == Decimal("0.01")
        assert await gateway.read_wallet() == wallet
        await gateway.close()


def chained(log: list[LogRow]) -> dict[str, Decimal]:
    """Return the last balance per coin; every row must follow from the one before it."""
    balances: dict[str, Decimal] = {}
    for row in log:
        assert row.change == row.cash_flow + row.funding - row.fee
        assert row.balance == balances.get(row.currency, Decimal(0)) + row.change
        balances[row.currency] = row.balance
    return balances
