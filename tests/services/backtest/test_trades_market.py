"""Trades through delisting, gaps, fee tiers and ruin: nothing of the profit is left unexplained."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from services.backtest.assumptions import Assumptions, Fees, FeeTier
from services.backtest.engine import RunResult
from services.backtest.trades import Breakdown, break_down
from shared.history.records import History, SymbolHistory
from shared.history.rules import sample_rules
from tests.services.backtest.test_engine_market import DAY, HOUR, START, flat, ms, run, torn


def told(result: RunResult, *parts: SymbolHistory) -> Breakdown:
    return break_down(result, History({p.symbol: p for p in parts}), sample_rules())


def adds_up(found: Breakdown, result: RunResult) -> bool:
    last = result.curve[-1]
    return (
        found.unexplained == 0
        and found.parts.funding == last.funding
        and found.parts.fees == -last.fees
        and found.parts.basis + found.parts.slippage == last.basis
    )


def test_a_pair_that_was_delisted_while_held_is_a_closed_trade() -> None:
    parts = flat(), flat("ETHUSDT", "2000", last=START + 2 * DAY)
    result = run(*parts)
    found = told(result, *parts)
    closed = [t for t in found.trades if t.closed_at is not None]
    assert [(t.pair, t.closed_at) for t in closed] == [
        ("ETHUSDT", START + 2 * DAY + HOUR + timedelta(seconds=60))
    ]
    assert adds_up(found, result)


def test_a_liquidation_closes_the_trade_at_the_price_the_venue_took() -> None:
    part = torn()
    result = run(part, deposit=11_000)
    found = told(result, part)
    assert result.ended_by_liquidation
    assert found.trades[0].perp_out == 90000
    # The short lost 60,000 a coin, which the coin beside it did not gain.
    assert found.trades[0].parts.basis < -19_000
    assert adds_up(found, result)


def test_a_run_that_goes_on_after_a_liquidation_adds_up_too() -> None:
    part = torn()
    result = run(part, deposit=11_000, given=Assumptions(goes_on=True))
    assert adds_up(told(result, part), result)


def test_a_settlement_without_a_mark_is_not_counted_to_the_trade() -> None:
    part = flat()
    gone = ms(START + DAY + 8 * HOUR)
    holed = replace(part, bars=tuple(b for b in part.bars if b.at_ms != gone))
    result = run(holed, given=Assumptions(allow_gaps=True))
    found = told(result, holed)
    assert found.trades[0].settlements == result.settlements
    assert adds_up(found, result)


def test_fee_tiers_reach_the_trade() -> None:
    free = Fees(Decimal(0), Decimal(0))
    part = flat()
    result = run(part, given=Assumptions(tiers=(FeeTier(START - DAY, free, free),)))
    found = told(result, part)
    assert found.parts.fees == 0
    assert adds_up(found, result)
