"""Public reads: pages, intervals, closed bars."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.domain.instrument import Category
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.parse import milliseconds
from tests.shared.exchange.test_bybit_parse import LINEAR, SPOT
from tests.support.scripted_venue import Asked, ScriptedVenue, envelope

HISTORY = "/v5/market/funding/history"
MIDNIGHT = datetime(2023, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)


def serve_rates(venue: ScriptedVenue, stamps: list[datetime]) -> None:
    """Answer as the venue does: the newest ``limit`` rows up to ``endTime``, newest first."""

    def page(asked: Asked) -> dict[str, Any]:
        end, limit = int(asked.fields["endTime"]), int(asked.fields["limit"])
        shown = [at for at in sorted(stamps, reverse=True) if milliseconds(at) <= end][:limit]
        return envelope(
            {
                "category": "linear",
                "list": [
                    {
                        "symbol": "BTCUSDT",
                        "fundingRate": "0.0001",
                        "fundingRateTimestamp": str(milliseconds(at)),
                    }
                    for at in shown
                ],
            }
        )

    venue.answers[HISTORY] = page


async def test_all_pages_come_oldest_first_without_a_double(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    stamps = [MIDNIGHT + 8 * HOUR * n for n in range(450)]
    serve_rates(venue, stamps)
    settled = await feed.fetch_funding_rate_history("BTCUSDT", stamps[1], stamps[-1])
    assert [s.settled_at for s in settled] == stamps[1:]
    assert {s.interval for s in settled} == {8 * HOUR}
    assert {s.rate for s in settled} == {Decimal("0.0001")}


async def test_an_interval_is_the_distance_to_the_row_before(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    stamps = [MIDNIGHT, MIDNIGHT + 8 * HOUR, MIDNIGHT + 10 * HOUR, MIDNIGHT + 11 * HOUR]
    serve_rates(venue, stamps)
    settled = await feed.fetch_funding_rate_history("BTCUSDT", stamps[1], stamps[-1])
    assert [s.interval // HOUR for s in settled] == [8, 2, 1]


async def test_a_first_ever_settlement_takes_the_present_interval(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    serve_rates(venue, [MIDNIGHT, MIDNIGHT + 4 * HOUR])
    venue.on("/v5/market/instruments-info", {"list": [{**LINEAR, "fundingInterval": 240}]})
    settled = await feed.fetch_funding_rate_history("BTCUSDT", MIDNIGHT - HOUR, MIDNIGHT + 9 * HOUR)
    assert [s.interval // HOUR for s in settled] == [4, 4]


async def test_one_new_settlement_needs_one_short_page(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    stamps = [MIDNIGHT + 8 * HOUR * n for n in range(300)]
    serve_rates(venue, stamps)
    after = stamps[-2] + timedelta(milliseconds=1)
    [settlement] = await feed.fetch_funding_rate_history("BTCUSDT", after, stamps[-1])
    assert settlement.settled_at == stamps[-1]
    assert [asked.fields["limit"] for asked in venue.asked] == ["9"]


async def test_a_span_without_settlements_is_empty(venue: ScriptedVenue, feed: BybitFeed) -> None:
    serve_rates(venue, [MIDNIGHT])
    after = MIDNIGHT + timedelta(milliseconds=1)
    assert await feed.fetch_funding_rate_history("BTCUSDT", after, MIDNIGHT + HOUR) == []


async def test_only_perpetuals_in_usdt_are_instruments_and_every_page_counts(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    pages = {
        "": ([LINEAR, {**LINEAR, "symbol": "BTCPERP", "quoteCoin": "USDC"}], "2"),
        "2": ([{**LINEAR, "symbol": "X-25", "contractType": "LinearFutures"}], "3"),
        "3": ([{**LINEAR, "symbol": "ETHUSDT", "baseCoin": "ETH"}], ""),
    }

    def answer(asked: Asked) -> dict[str, Any]:
        found, cursor = pages[asked.fields.get("cursor", "")]
        return envelope({"list": found, "nextPageCursor": cursor})

    venue.answers["/v5/market/instruments-info"] = answer
    found = await feed.fetch_instruments(Category.LINEAR)
    assert [i.symbol for i in found] == ["BTCUSDT", "ETHUSDT"]


async def test_spot_instruments_come_in_one_answer(venue: ScriptedVenue, feed: BybitFeed) -> None:
    venue.on("/v5/market/instruments-info", {"list": [SPOT, {**SPOT, "quoteCoin": "EUR"}]})
    [only] = await feed.fetch_instruments(Category.SPOT)
    assert (only.category, only.base) == (Category.SPOT, "BTC")


async def test_bars_come_oldest_first_and_the_running_one_is_left_out(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    opens = [MIDNIGHT + HOUR * n for n in range(1_500)]

    def page(asked: Asked) -> dict[str, Any]:
        first, last = int(asked.fields["start"]), int(asked.fields["end"])
        shown = [o for o in reversed(opens) if first <= milliseconds(o) <= last][:1000]
        bars = [[str(milliseconds(o)), "1", "3", "0.5", "2", "10", "20"] for o in shown]
        return envelope({"list": bars})

    venue.answers["/v5/market/kline"] = page
    half_past = opens[-1] + timedelta(minutes=30)
    seconds = str(milliseconds(half_past) // 1000)
    venue.on("/v5/market/time", {"timeSecond": seconds, "timeNano": f"{seconds}000000000"})
    bars = await feed.fetch_ohlcv(Category.SPOT, "BTCUSDT", opens[1], opens[-1])
    assert [bar[0] for bar in bars] == opens[1:-1]
    assert bars[0][1:] == (Decimal(1), Decimal(3), Decimal("0.5"), Decimal(2), Decimal(10))
