"""A book of ten levels a side stands wherever something is traded, and one level elsewhere."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.backtest.engine import run_carry
from services.backtest.quotes import Quotes
from shared.domain.instrument import Category
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.records import History
from shared.history.rules import sample_rules, venue_rule
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.services.backtest.steadfast import steadfast
from tests.services.backtest.test_engine_market import START, flat

D = Decimal
RULES = {(p.category, p.symbol): p for p in sample_rules()}
# Spot of BTC: 0.75 bps of 30,000 are 2.25; the first level holds 100,000 USDT.
TOUCH, NEXT = D("30002.25"), D("30004.50")
AT_TOUCH = D("3.333083")


def test_an_order_beyond_the_touch_is_filled_at_the_next_level() -> None:
    result = run_carry(
        History({"BTCUSDT": flat()}),
        sample_rules(),
        CarryPolicy(),
        RiskLimits(pair_notional=D(200_000), gross_notional=D(200_000)),
        ExecutionPolicy(),
        deposit=D(400_000),
        start=START,
        end=START + timedelta(hours=2),
        chooser=steadfast({"BTCUSDT": "5"}),
    )
    bought = [b.fill for b in result.fills if b.fill.category is Category.SPOT]
    assert [(fill.price, fill.quantity) for fill in bought[:1]] == [(TOUCH, AT_TOUCH)]
    assert {fill.price for fill in bought[1:]} == {NEXT}
    assert result.opened == 1
    assert {b.decided_at for b in result.fills} == {datetime(2023, 11, 11, 0, 1, tzinfo=UTC)}


def test_what_was_taken_stays_taken_until_the_next_close() -> None:
    venue = Exchange([venue_rule(p) for p in RULES.values()], {"USDT": D(1_000_000)}, 1_000)
    quotes = Quotes(venue, RULES)
    for category in (Category.SPOT, Category.LINEAR):
        quotes.show(category, "BTCUSDT", D(30_000))
    assert [len(side) for side in venue.book("spot", "BTCUSDT")] == [1, 1]
    quotes.deepen("BTCUSDT")
    assert [len(side) for side in venue.book("spot", "BTCUSDT")] == [10, 10]
    assert [len(side) for side in venue.book("linear", "BTCUSDT")] == [10, 10]
    venue.place(OrderRequest("spot", "BTCUSDT", "Buy", "Limit", AT_TOUCH, TOUCH))
    quotes.deepen("BTCUSDT")
    assert venue.book("spot", "BTCUSDT")[1][0][0] == NEXT
    quotes.show(Category.SPOT, "BTCUSDT", D(30_000))
    quotes.deepen("BTCUSDT")
    assert venue.book("spot", "BTCUSDT")[1][0] == (TOUCH, AT_TOUCH)
