"""Prices of last resort: asked for by REST where one leg stands alone and the public feed is lost.

Source: RELIABILITY 5.13: without public data nothing opens, and hedges go by a price from REST.
"""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import structlog

from services.executor.desk import Desk
from services.executor.market import Market
from shared.domain.errors import Malformed, Rejected, Transient
from shared.domain.instrument import Instrument
from shared.domain.market import Quote
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock

LOOK_SECONDS: Final = 0.5
SILENT_SECONDS: Final = Decimal(5)

log = structlog.get_logger()


class LastResort:
    """Feeds the market what the venue shows when asked, for as long as a pair stands alone."""

    def __init__(self, gateway: TradingGateway, market: Market, clock: Clock) -> None:
        self._gateway = gateway
        self._market = market
        self._clock = clock
        self._told: set[str] = set()

    async def follow(self, desks: Iterable[Desk]) -> None:
        """Look at ``desks`` each half second, for ever."""
        desks = tuple(desks)
        while True:
            await asyncio.gather(*(self.look(desk) for desk in desks))
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self, desk: Desk) -> None:
        """Ask for both books if the pair needs them; what cannot be had leaves what is known."""
        name = desk.pair.name
        if desk.is_hedged or not self.is_lost(name):
            self._told.discard(name)
            return
        if name not in self._told:
            self._told.add(name)
            log.error("price_of_last_resort", pair=name, correlation_id=desk.correlation_id)
        await asyncio.gather(self._ask(desk.pair.spot), self._ask(desk.pair.perp))

    def is_lost(self, pair: str) -> bool:
        """Return whether a pair's books are not fresh and have said nothing for five seconds."""
        _, silent = self._market.ages(pair)
        return not self._market.is_fresh(pair) and (silent is None or silent > SILENT_SECONDS)

    async def _ask(self, product: Instrument) -> None:
        try:
            top = await self._gateway.fetch_top(product.category, product.symbol)
        except (Transient, Malformed, Rejected) as error:
            log.warning("top_not_fetched", symbol=product.symbol, detail=str(error))
            return
        quote = Quote(top.bid, top.bid_size, top.ask, top.ask_size, top.venue_at)
        self._market.asked(product.category, product.symbol, quote)
