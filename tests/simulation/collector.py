"""The collector's part: what the market says reaches the bus and the store, and never fails alone.

It is no process of the run: its own faults are the bus's and the store's.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Final

from shared.bus.messages import FundingSettled, QuoteUpdated, encode
from shared.bus.outbox import enqueue
from shared.bus.streams import BODY, LENGTHS, MARKET_FUNDING, MARKET_QUOTES
from shared.domain.funding import FundingSettlement
from shared.store.funding import insert_settlements
from shared.store.instruments import Identity, upsert_identity, upsert_instruments
from shared.store.quotes import UPSERT_LATEST, QuoteRow
from tests.simulation.actors import Stage
from tests.simulation.clock import wall
from tests.simulation.venue import FUNDING_INTERVAL, TICK_SECONDS

STORE_EVERY: Final = 10
HISTORY: Final = 144
HOURS: Final = Decimal(1)
INSERT_CLOSES: Final = """
    INSERT INTO market.bar (series, symbol, opened_at, close, received_at)
    SELECT leg.series, $1, at - interval '1 hour', leg.close, at
    FROM unnest($2::timestamptz[]) AS at,
         (VALUES ('spot', $3::numeric), ('linear', $4::numeric)) AS leg (series, close)
    ON CONFLICT DO NOTHING"""
COLUMNS: Final = tuple(field.name for field in fields(QuoteRow))


class Collector:
    """Moves the market and tells of it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._dice = stage.world.dice("collector")
        self._ticks = 0

    def start(self) -> None:
        """Store what is known before the run, and go on from there."""
        stage = self._stage
        store, now = stage.store, wall(stage.world.loop)
        for pair in stage.pairs:
            name = pair.name
            identity = Identity(name, pair.base, name, name, Decimal(1), Decimal(1), now)
            store.act(upsert_instruments(store.owner, [pair.spot, pair.perp], now))
            store.act(upsert_identity(store.owner, identity))
            rate = Decimal(self._dice.whole(-10, 40)).scaleb(-5)
            at = stage.venue.funding_at
            settled = [
                FundingSettlement(name, rate, at - FUNDING_INTERVAL * n, FUNDING_INTERVAL)
                for n in range(HISTORY, 0, -1)
            ]
            store.act(insert_settlements(store.owner, settled, now))
            self._close(name, [s.settled_at for s in settled])
        self._store(self._quotes())
        stage.venue.settled = self._settled
        self._tick()

    def _tick(self) -> None:
        stage = self._stage
        stage.world.later(TICK_SECONDS, self._tick)
        if stage.world.loop.time() < stage.venue.down_until:
            return
        stage.venue.tick()
        quotes = self._quotes()
        if not stage.redis.is_down:
            for quote in quotes:
                stage.redis.add(MARKET_QUOTES, {BODY: encode(quote)}, "*", LENGTHS[MARKET_QUOTES])
        self._ticks += 1
        if self._ticks % STORE_EVERY == 0 and not stage.outages.is_down:
            self._store(quotes)

    def _quotes(self) -> list[QuoteUpdated]:
        venue = self._stage.venue
        at, received_at = venue.now, wall(self._stage.world.loop)
        found = []
        for pair in venue.pairs:
            bids, asks = venue.exchange.book("spot", pair.name)
            found.append(QuoteUpdated("spot", pair.name, *bids[0], *asks[0], at, received_at))
            bids, asks = venue.exchange.book("linear", pair.name)
            found.append(
                QuoteUpdated(
                    "linear", pair.name, *bids[0], *asks[0], at, received_at,
                    mark=venue.exchange.marks[pair.name],
                    index=venue.exchange.indexes[pair.name],
                    predicted_rate=Decimal("0.0001"),
                    next_funding_at=venue.funding_at,
                    funding_interval_hours=HOURS,
                    ticker_at=at,
                )
            )  # fmt: skip
        return found

    def _store(self, quotes: Sequence[QuoteUpdated]) -> None:
        rows = [tuple(getattr(quote, name) for name in COLUMNS) for quote in quotes]
        self._stage.store.execute(UPSERT_LATEST, *map(list, zip(*rows, strict=True)))

    def _settled(self, settled: Sequence[FundingSettlement]) -> None:
        """Store rates, and say them in the outbox, a moment after they were settled."""
        self._stage.world.later(self._dice.between(0.1, 3.0), self._tell, list(settled))

    def _tell(self, settled: Sequence[FundingSettlement]) -> None:
        store, now = self._stage.store, wall(self._stage.world.loop)
        said = [FundingSettled(s.symbol, s.rate, s.settled_at, HOURS, now) for s in settled]
        for settlement in settled:
            self._close(settlement.symbol, [settlement.settled_at])
        store.act(insert_settlements(store.owner, settled, now))
        store.act(enqueue(store.owner, MARKET_FUNDING, said))

    def _close(self, name: str, instants: Sequence[datetime]) -> None:
        """Store the closes of both legs at settlements, as of now."""
        exchange = self._stage.venue.exchange
        spot, perp = (
            (bids[0][0] + asks[0][0]) / 2
            for bids, asks in (exchange.book(category, name) for category in ("spot", "linear"))
        )
        self._stage.store.execute(INSERT_CLOSES, name, list(instants), spot, perp)
