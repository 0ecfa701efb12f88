"""Merging tickers and books: what becomes a quote, and what never does."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.instrument import Category
from shared.exchange.bybit.board import QuoteBoard
from shared.exchange.bybit.frames import as_frame
from shared.exchange.bybit.parse import instant

T0 = 1_699_660_860_000
LINEAR, SPOT = Category.LINEAR, Category.SPOT


def at(offset_ms: int = 0) -> datetime:
    return instant(T0 + offset_ms)


def book(bid: str = "100.0", ask: str = "100.1", *, ms: int = 0, kind: str = "snapshot") -> Any:
    data = {"s": "BTCUSDT", "b": [[bid, "5"]], "a": [[ask, "7"]], "u": 1, "seq": 1}
    return {"topic": "orderbook.1.BTCUSDT", "type": kind, "ts": T0 + ms, "data": data}


def ticker(kind: str = "snapshot", *, ms: int = 0, **data: str) -> Any:
    whole = {
        "symbol": "BTCUSDT",
        "markPrice": "100.05",
        "indexPrice": "100.00",
        "fundingRate": "0.0001",
        "nextFundingTime": "1699689600000",
        "fundingIntervalHour": "8",
    }
    shown = data if kind == "delta" else {**whole, **data}
    return {"topic": "tickers.BTCUSDT", "type": kind, "ts": T0 + ms, "data": shown}


@pytest.fixture
async def board() -> QuoteBoard:
    return QuoteBoard()


async def test_a_spot_book_is_a_quote(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book()))
    [quote] = board.take()
    assert (quote.bid, quote.bid_size) == (Decimal("100.0"), Decimal(5))
    assert (quote.ask, quote.ask_size) == (Decimal("100.1"), Decimal(7))
    assert quote.venue_at == at()
    assert quote.mark is None


async def test_a_linear_quote_needs_book_and_ticker(board: QuoteBoard) -> None:
    board.apply(LINEAR, as_frame(book()))
    assert board.take() == []
    board.apply(LINEAR, as_frame(ticker()))
    [quote] = board.take()
    assert quote.mark == Decimal("100.05")
    assert quote.predicted_rate == Decimal("0.0001")
    assert quote.next_funding_at == instant(1_699_689_600_000)
    assert quote.funding_interval_hours == Decimal(8)


async def test_a_linear_quote_is_as_old_as_its_older_part(board: QuoteBoard) -> None:
    board.apply(LINEAR, as_frame(ticker()))
    board.apply(LINEAR, as_frame(book()))
    board.apply(LINEAR, as_frame(book("101.0", "101.1", ms=3_600_000)))
    [quote] = board.take()
    assert quote.venue_at == at()
    board.apply(LINEAR, as_frame(ticker("delta", ms=3_600_000, markPrice="101.05")))
    [quote] = board.take()
    assert (quote.venue_at, quote.ticker_at) == (at(3_600_000), at(3_600_000))
    board.apply(LINEAR, as_frame(ticker("delta", ms=7_200_000, markPrice="101.06")))
    [quote] = board.take()
    assert (quote.venue_at, quote.ticker_at) == (at(3_600_000), at(7_200_000))


async def test_a_delta_leaves_absent_fields_unchanged(board: QuoteBoard) -> None:
    board.apply(LINEAR, as_frame(ticker()))
    board.apply(LINEAR, as_frame(book()))
    board.apply(LINEAR, as_frame(ticker("delta", ms=100, markPrice="100.07")))
    [quote] = board.take()
    assert quote.mark == Decimal("100.07")
    assert quote.predicted_rate == Decimal("0.0001")


async def test_changes_between_two_looks_are_conflated_per_book(board: QuoteBoard) -> None:
    for step in range(5):
        board.apply(SPOT, as_frame(book(f"{100 + step}", f"{101 + step}", ms=step)))
    [quote] = board.take()
    assert quote.bid == Decimal(104)
    assert board.take() == []


async def test_the_same_book_said_again_is_no_news(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book()))
    board.take()
    board.apply(SPOT, as_frame(book()))
    assert board.take() == []


async def test_spot_and_linear_of_one_name_do_not_mix(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book("90", "91")))
    board.apply(LINEAR, as_frame(ticker()))
    board.apply(LINEAR, as_frame(book()))
    assert {(q.category, q.bid) for q in board.take()} == {
        (SPOT, Decimal(90)),
        (LINEAR, Decimal("100.0")),
    }


async def test_after_a_reconnect_nothing_is_known_until_a_new_snapshot(board: QuoteBoard) -> None:
    board.apply(LINEAR, as_frame(ticker()))
    board.apply(LINEAR, as_frame(book()))
    board.reset(LINEAR)
    assert board.take() == []
    board.apply(LINEAR, as_frame(ticker("delta", ms=100, markPrice="100.07")))
    board.apply(LINEAR, as_frame(book(ms=100)))
    assert board.take() == []
    assert board.malformed == 1


@pytest.mark.parametrize(
    ("bid", "ask"),
    [("100.1", "100.1"), ("100.2", "100.1"), ("-1", "1"), ("0", "1"), ("NaN", "1"), ("", "1")],
)
async def test_a_crossed_or_senseless_book_is_counted_and_never_a_quote(
    board: QuoteBoard, bid: str, ask: str
) -> None:
    board.apply(SPOT, as_frame(book(bid, ask)))
    assert board.take() == []
    assert board.malformed == 1


async def test_an_empty_side_makes_the_book_unknown(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book()))
    board.take()
    empty = book(ms=1)
    empty["data"]["b"] = []
    board.apply(SPOT, as_frame(empty))
    assert board.take() == []
    assert board.malformed == 1


async def test_a_book_that_runs_backwards_is_not_believed(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book(ms=100)))
    board.take()
    board.apply(SPOT, as_frame(book("99", "99.1", ms=0)))
    assert board.take() == []
    assert board.malformed == 1


async def test_blank_ticker_fields_are_none(board: QuoteBoard) -> None:
    board.apply(LINEAR, as_frame(ticker(fundingRate="", nextFundingTime="")))
    board.apply(LINEAR, as_frame(book()))
    [quote] = board.take()
    assert quote.predicted_rate is None
    assert quote.next_funding_at is None


async def test_venue_time_is_the_newest_stamp_of_any_topic(board: QuoteBoard) -> None:
    board.apply(SPOT, as_frame(book(ms=500)))
    board.apply(LINEAR, as_frame(ticker(ms=200)))
    assert board.venue_at == at(500)
