"""A venue whose prices are another's: what its frames do, and the whole against a real process."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.simulator.live import Gap, LiveBook, LiveMarket, LiveSymbol
from services.simulator.live_feed import stream_url
from services.simulator.main import Simulator
from shared.domain.errors import Misconfigured
from shared.history.records import Settlement
from shared.history.rules import sample_rules
from tests.services.simulator.builders import Client, sample, serving, settings
from tests.support.simulator import simulator as process

D = Decimal
HOUR_MS = 3_600_000
NOON_MS = 1_704_110_400_000  # 2024-01-01 12:00 UTC


def market() -> LiveMarket:
    ticker = {
        "lastPrice": "100", "markPrice": "101", "indexPrice": "99", "fundingRate": "0.0001",
        "nextFundingTime": str(NOON_MS), "fundingIntervalHour": "4",
    }  # fmt: skip
    products = [p for p in sample_rules() if p.symbol == "BTCUSDT"]
    books = {("spot", "BTCUSDT"): LiveBook(), ("linear", "BTCUSDT"): LiveBook()}
    live = LiveSymbol(ticker, D(98), [], [])
    return LiveMarket(products, {"BTCUSDT": live}, books, NOON_MS - 1_000)


def frame(topic: str, at_ms: int, data: dict[str, Any], kind: str = "delta") -> dict[str, Any]:
    return {"topic": topic, "type": kind, "ts": at_ms, "data": {"s": "BTCUSDT", **data}}


def test_a_book_takes_snapshots_and_changes_and_says_when_one_is_missed() -> None:
    book = LiveBook()
    book.apply({"s": "B", "u": 7, "b": [["9", "1"], ["8", "2"]], "a": [["10", "1"]]}, whole=True)
    book.apply({"s": "B", "u": 8, "b": [["9", "0"], ["7", "3"]], "a": [["10", "4"]]}, whole=False)
    assert book.levels() == ([(D(8), D(2)), (D(7), D(3))], [(D(10), D(4))])
    with pytest.raises(Gap, match="10 after 8"):
        book.apply({"s": "B", "u": 10, "b": [], "a": []}, whole=False)
    book.apply({"s": "B", "u": 1, "b": [["6", "1"]], "a": []}, whole=False)
    assert book.levels() == ([(D(6), D(1))], [])  # bybit-v5.md 10.2: u=1 is always a reset


LINES = {"u": 2, "b": [["100", "1"]], "a": []}
BOOK = "orderbook.50.BTCUSDT"


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        (BOOK, {**LINES, "b": [["NaN", "1"]]}),
        (BOOK, {**LINES, "b": [["1", "-1"]]}),
        (BOOK, {**LINES, "a": [["1"]]}),
        (BOOK, {**LINES, "a": None}),
        (BOOK, {**LINES, "u": "x"}),
        ("tickers.BTCUSDT", {"markPrice": "much"}),
        ("tickers.BTCUSDT", {"markPrice": "Infinity"}),
        ("tickers.BTCUSDT", {"nextFundingTime": "soon"}),
    ],
)
def test_a_frame_that_is_none_leaves_everything_as_it_was(topic: str, data: dict[str, Any]) -> None:
    made = market()
    made.apply("linear", frame(BOOK, NOON_MS - 900, {**LINES, "u": 1}, "snapshot"))
    before = made.bar("BTCUSDT", 0), made.books("linear", "BTCUSDT", made.bar("BTCUSDT", 0))
    with pytest.raises((LookupError, TypeError, ValueError, ArithmeticError)):
        made.apply("linear", frame(topic, NOON_MS - 900, data))
    bar = made.bar("BTCUSDT", 0)
    assert (bar, made.books("linear", "BTCUSDT", bar)) == before


async def test_frames_that_nobody_has_taken_are_merged_into_one_move() -> None:
    made = market()
    for n in (1, 2, 3):
        made.apply("linear", frame("tickers.BTCUSDT", NOON_MS - 900 + n, {"lastPrice": str(n)}))
    made.apply("spot", frame("tickers.BTCUSDT", NOON_MS - 800, {"lastPrice": "97"}))
    made.apply("spot", frame("tickers.OTHERUSDT", NOON_MS - 700, {"lastPrice": "1"}))
    due = await anext(made.dues(0, 0))
    assert (due.at_ms, due.settles) == (NOON_MS - 800, False)
    assert due.products == (("linear", "BTCUSDT"), ("spot", "BTCUSDT"))
    bar = made.bar("BTCUSDT", due.hour_ms)
    assert (bar.perp, bar.spot, bar.mark) == (D(3), D(97), D(101))
    assert made.index("BTCUSDT", bar) == D(99)


async def test_a_settlement_is_due_once_it_has_passed_and_its_rate_is_published() -> None:
    made = market()
    coming = {"nextFundingTime": str(NOON_MS + HOUR_MS), "fundingIntervalHour": "1"}
    made.apply("linear", frame("tickers.BTCUSDT", NOON_MS + 50, {**coming, "markPrice": "105"}))
    assert list(made.awaited) == [("BTCUSDT", NOON_MS)]
    dues = made.dues(0, 0)
    assert (await anext(dues)).settles is False
    made.settle("BTCUSDT", Settlement(NOON_MS, D("0.0002"), 4), D(102))
    due = await anext(dues)
    assert (due.hour_ms, due.settles, due.products) == (NOON_MS, True, (("linear", "BTCUSDT"),))
    assert made.bar("BTCUSDT", NOON_MS).mark == D(102)
    assert made.bar("BTCUSDT", due.at_ms).mark == D(105)
    assert made.due_settlement("BTCUSDT", NOON_MS) == Settlement(NOON_MS, D("0.0002"), 4)
    assert made.next_settlement("BTCUSDT", due.at_ms) == (NOON_MS + HOUR_MS, 1)
    assert not made.awaited


def test_an_hour_closes_at_what_stood_when_it_ended() -> None:
    made = market()
    made.apply("spot", frame("tickers.BTCUSDT", NOON_MS + 5, {"lastPrice": "90"}))
    [bar] = made.closed_bars("BTCUSDT", NOON_MS + 5)
    assert (bar.at_ms, bar.spot, bar.perp, bar.mark) == (NOON_MS, D(98), D(100), D(101))


@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        ("https://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
        ("https://api-demo.bybit.com", "wss://stream.bybit.com"),
        ("http://127.0.0.1:8100", "ws://127.0.0.1:8100"),
    ],
)
def test_the_streams_are_found_from_the_rest_address(rest: str, stream: str) -> None:
    assert stream_url(rest) == stream


@pytest.mark.parametrize("url", ["bybit.com", "http://127.0.0.1:1"])
async def test_a_venue_that_cannot_be_had_is_one_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(Misconfigured, match="--live"):
        async with serving(settings(tmp_path, live=url)):
            pytest.fail("it opened")


async def shown(address: str, path: str, query: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/v5/market/{path}?category=linear&{query}")
        result: dict[str, Any] = answer.json()["result"]
        return result


async def follows(follower: Simulator, source: str) -> bool:
    """Return whether both venues stand at the same prices and know the same settlements."""
    pairs = [
        [await shown(address, path, "symbol=BTCUSDT&limit=50") for address in
         (source, follower.address)]
        for path in ("orderbook", "funding/history", "tickers")
    ]  # fmt: skip
    (book, same_book), (paid, same_paid), (tick, same_tick) = pairs
    names = ("lastPrice", "markPrice", "nextFundingTime", "fundingIntervalHour", "bid1Price")
    return (
        (book["b"], book["a"]) == (same_book["b"], same_book["a"])
        and paid["list"][:20] == same_paid["list"][:20]
        and all(tick["list"][0][n] == same_tick["list"][0][n] for n in names)
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another process offers no event
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_live_venue_has_the_books_and_settlements_of_the_process_it_follows(
    tmp_path: Path,
) -> None:
    with process(speed=10_000) as source:
        given = settings(tmp_path, live=source.rest, symbols=("BTCUSDT",), start=None)
        async with serving(given) as follower, Client(follower) as client:
            follower.desk.start()
            sold = await client.order("linear", "Sell", "0.5", "30000")
            assert sold["retCode"] == 0

            async def has_settled() -> bool:
                return follower.desk.settlements > 0

            async def has_caught_up() -> bool:
                return await follows(follower, source.rest.removeprefix("http://"))

            await asyncio.to_thread(source.release)
            await until(has_settled)
            async with httpx.AsyncClient() as keeper:
                await keeper.post(f"{source.rest}/sim/freeze")
            await until(has_caught_up)
            rows = await client.get("account/transaction-log", "type=SETTLEMENT&limit=50")
            [*_, first] = rows["result"]["list"]
    # half a bitcoin sold, at the sample's own mark and rate of 2023-11-11 08:00 UTC
    recorded, at_ms = sample().symbols["BTCUSDT"], 1_699_689_600_000
    [mark] = [b.mark for b in recorded.bars if b.at_ms == at_ms]
    [rate] = [s.rate for s in recorded.settlements if s.at_ms == at_ms]
    assert D(first["tradePrice"]) == mark
    assert D(first["funding"]) == D("0.5") * mark * rate
