"""When the public streams are complete, in the words that readiness gives."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from services.collector.freshness import behind_max, missing_of
from shared.exchange.bybit.endpoints import market_endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.runtime.clock import SystemClock
from tests.services.simulator.builders import serving, settings

BOUND = timedelta(seconds=3.5)


@dataclass
class Streams:
    """What a feed would say."""

    is_listening: bool = True
    silence: float | None = 0.5
    unheard: list[str] = field(default_factory=list)
    stale: dict[timedelta, list[str]] = field(default_factory=dict)

    def silence_seconds(self) -> float | None:
        return self.silence

    def unheard_topics(self) -> Sequence[str]:
        return self.unheard

    def stale_topics(self, behind: timedelta) -> Sequence[str]:
        return self.stale.get(behind, [])


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        (Streams(), []),
        (Streams(is_listening=False), ["the public streams are not subscribed yet"]),
        (Streams(silence=None, unheard=["spot/orderbook.1.A"]), []),
        (Streams(silence=10.6), ["no public message for 11 s"]),
        (Streams(unheard=["a", "b"]), ["not heard since the connection: a, b"]),
        (Streams(stale={BOUND: ["a"]}), ["stale: a"]),
        (Streams(stale={BOUND: list("abcdefg")}), ["stale: a, b, c, d, e and 2 more"]),
    ],
)
def test_each_lack_is_one_sentence(streams: Streams, said: list[str]) -> None:
    assert missing_of(streams, BOUND) == said


def test_the_bound_of_a_replay_is_two_of_its_bars() -> None:
    # DESIGN rule 7: live 3.5 s, replay 2 bars
    assert behind_max("replay") == timedelta(hours=2)
    assert {behind_max(venue) for venue in ("paper", "demo", "testnet", "live")} == {BOUND}


SCRIPT = """
faults:
- kind: silence          # the socket stands, one topic says nothing any more
  where: linear/tickers.BTCUSDT
  from: 20
  until: 60
"""


async def test_one_topic_that_stops_on_an_open_socket_is_named_and_recovers(
    tmp_path: Path,
) -> None:
    (tmp_path / "faults.yaml").write_text(SCRIPT)
    given = settings(
        tmp_path, database=None, synthetic=2, symbols=None, start=None, speed=20,
        moves_per_second=20, faults=tmp_path / "faults.yaml",
    )  # fmt: skip
    async with serving(given) as simulator:
        where = simulator.address
        endpoints = market_endpoints("replay", f"http://{where}", f"ws://{where}")
        feed = BybitFeed(endpoints, clock=SystemClock(), draw=lambda: 0.0)
        quotes = feed.quotes(["BTCUSDT", "ETHUSDT"])

        async def read() -> None:
            async for _ in quotes:
                pass

        reading = asyncio.create_task(read())
        seen: list[list[str]] = [["the public streams are not subscribed yet"]]
        try:
            simulator.desk.start()
            async with asyncio.timeout(15):
                while len(seen) < 4:
                    await asyncio.sleep(0.01)
                    missing = missing_of(feed, BOUND)
                    if missing != seen[-1] and "not heard" not in "".join(missing):
                        seen.append(missing)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await feed.close()
    assert seen[1:] == [[], ["stale: linear/tickers.BTCUSDT"], []]
