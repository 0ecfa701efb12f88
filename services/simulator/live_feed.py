"""Reads the venue that a live market follows: REST once, then its public streams."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.simulator.live import Gap, LiveBook, LiveMarket, LiveSymbol
from services.simulator.market import Product
from shared.domain.errors import Misconfigured
from shared.history.records import HOUR_MS, Bar, Settlement
from shared.history.rules import ProductRules
from shared.runtime.clock import Clock

log = structlog.get_logger()

Row = dict[str, Any]

MOST_SYMBOLS: Final = 50
ARGS_MAX: Final = 10  # of one subscription on spot
PING_SECONDS: Final = 20.0
SILENT_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 1.0
RATES_SECONDS: Final = 2.0  # with 50 symbols at once still within the venue's limit
TIMEOUT_SECONDS: Final = 10.0
FRAME_MAX: Final = 2**22
FEES: Final = {
    "linear": (Decimal("0.00055"), Decimal("0.0002")),
    "spot": (Decimal("0.001"), Decimal("0.001")),
}  # taker and maker without a discount; the public API does not tell them
MAINTENANCE_RATE: Final = Decimal("0.01")


class Feed:
    """Keeps a live market moving; ``run`` ends only when it is cancelled."""

    def __init__(self, market: LiveMarket, rest: "Rest", stream_url: str, wall: Clock) -> None:
        self.market = market
        self._rest = rest
        self._stream_url = stream_url
        self._wall = wall

    async def run(self) -> None:
        """Follow both public streams, and fetch the rates of settlements that pass."""
        async with asyncio.TaskGroup() as tasks:
            for category in ("linear", "spot"):
                tasks.create_task(self._follow(category))
            tasks.create_task(self._fetch_rates())

    async def _follow(self, category: str) -> None:
        """Listen, and connect again whenever the stream ends, is silent or leaves a gap."""
        url = f"{self._stream_url}/v5/public/{category}"
        while True:
            try:
                async with connect(url, max_size=FRAME_MAX, ping_interval=None) as socket:
                    await self._listen(category, socket)
            except (OSError, WebSocketException, TimeoutError, Gap) as error:
                log.warning("live_stream_lost", category=category, error=str(error))
            await self._wall.sleep(AGAIN_SECONDS)

    async def _listen(self, category: str, socket: ClientConnection) -> None:
        topics = [f"{k}.{s}" for s in self.market.symbols for k in ("tickers", "orderbook.50")]
        for first in range(0, len(topics), ARGS_MAX):
            args = topics[first : first + ARGS_MAX]
            await socket.send(json.dumps({"op": "subscribe", "args": args}))
        pinging = asyncio.create_task(self._ping(socket))
        try:
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    frame = await socket.recv()
                self._take(category, frame)
        finally:
            pinging.cancel()

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            await self._wall.sleep(PING_SECONDS)
            await socket.send('{"op":"ping"}')

    def _take(self, category: str, text: str | bytes) -> None:
        try:
            frame = json.loads(text, parse_float=str)
            if frame.get("success") is False:
                raise ValueError(frame.get("ret_msg"))
            self.market.apply(category, frame)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            log.warning("live_frame_malformed", category=category, error=repr(error))

    async def _fetch_rates(self) -> None:
        """Ask for the rate of each settlement that has passed until the venue publishes it."""
        while True:
            for symbol, at_ms in list(self.market.awaited):
                try:
                    paid = await self._rest.funding(symbol)
                    marks = await self._rest.closes("mark-price-kline", "linear", symbol)
                except (httpx.HTTPError, Misconfigured) as error:
                    log.warning("live_rate_unavailable", symbol=symbol, error=str(error))
                    continue
                for settled in paid:
                    if settled.at_ms == at_ms and at_ms in marks:
                        self.market.settle(symbol, settled, marks[at_ms])
            await self._wall.sleep(RATES_SECONDS)


class Rest:
    """The venue's public REST, as far as a live market needs it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **query: str | int) -> Row:
        """Return ``result``; raises Misconfigured when the venue refuses or does not speak V5."""
        answer = await self._client.get(f"/v5/market/{path}", params=query)
        try:
            body = answer.json(parse_float=str)
            code, message, result = body["retCode"], body["retMsg"], body["result"]
        except (ValueError, LookupError, TypeError) as error:
            raise Misconfigured(
                f"--live: {answer.url} answered HTTP {answer.status_code} and no V5 envelope: is "
                "that the base address of a venue?"
            ) from error
        if code != 0:
            raise Misconfigured(f"--live: {answer.url} answered {code}: {message}")
        found: Row = result
        return found

    async def instruments(self, category: str) -> list[Row]:
        """Return every product of a category, through all pages."""
        page = await self.get("instruments-info", category=category, limit=1000)
        rows: list[Row] = page["list"]
        while cursor := page.get("nextPageCursor"):
            page = await self.get("instruments-info", category=category, limit=1000, cursor=cursor)
            rows += page["list"]
        return rows

    async def funding(self, symbol: str) -> list[Settlement]:
        """Return the newest 200 settlements, oldest first, each with the hours since the last."""
        page = await self.get("funding/history", category="linear", symbol=symbol, limit=200)
        rows = [
            (int(row["fundingRateTimestamp"]), Decimal(row["fundingRate"]))
            for row in reversed(page["list"])
        ]
        hours = [(b[0] - a[0]) // HOUR_MS for a, b in pairwise(rows)]
        spans = [hours[0] if hours else 8, *hours]
        return [Settlement(at, r, max(1, h)) for (at, r), h in zip(rows, spans, strict=True)]

    async def closes(self, path: str, category: str, symbol: str) -> dict[int, Decimal]:
        """Return the newest 200 hourly closes by the hour's end, the running hour left out."""
        page = await self.get(path, category=category, symbol=symbol, interval=60, limit=200)
        return {int(row[0]) + HOUR_MS: Decimal(row[4]) for row in page["list"]}

    async def symbol(self, name: str, now_ms: int, ticker: Row, spot: Row) -> LiveSymbol:
        """Return one symbol as it stands, with its recent past."""
        closes = [
            await self.closes(*each, name)
            for each in (("kline", "spot"), ("kline", "linear"), ("mark-price-kline", "linear"))
        ]
        hours = sorted(at for at in set.intersection(*map(set, closes)) if at <= now_ms)
        bars = [Bar(at, *(each[at] for each in closes)) for at in hours]
        texts = {key: value for key, value in ticker.items() if isinstance(value, str)}
        paid = await self.funding(name)
        return LiveSymbol(texts, Decimal(spot["lastPrice"]), bars, paid)


@asynccontextmanager
async def open_feed(url: str, symbols: Sequence[str] | None, wall: Clock) -> AsyncIterator[Feed]:
    """Read what stands at the venue and return its feed, which the caller runs.

    Raises: Misconfigured when the venue cannot be reached, or does not list the symbols.
    """
    base = url.rstrip("/")
    if urlsplit(base).scheme not in ("http", "https"):
        raise Misconfigured(f"--live {url} is no http(s) address, like https://api.bybit.com.")
    async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT_SECONDS) as client:
        rest = Rest(client)
        try:
            market = await _market(rest, symbols)
        except httpx.HTTPError as error:
            raise Misconfigured(f"--live {url} cannot be reached: {error!r}.") from error
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise Misconfigured(f"--live {url} answers what V5 does not: {error!r}.") from error
        yield Feed(market, rest, stream_url(base), wall)


def stream_url(rest_url: str) -> str:
    """Return where the public streams of a venue are: Bybit has hosts of their own for them."""
    parts = urlsplit(rest_url)
    host = re.sub(r"^api(-demo)?(?=\.)", "stream", parts.netloc)  # demo streams are mainnet's
    host = re.sub(r"^api-testnet(?=\.)", "stream-testnet", host)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}"


async def _market(rest: Rest, symbols: Sequence[str] | None) -> LiveMarket:
    listed = {
        (category, row["symbol"]): _rules(category, row)
        for category in ("linear", "spot")
        for row in await rest.instruments(category)
        if _trades(category, row)
    }
    tickers = {
        category: {r["symbol"]: r for r in (await rest.get("tickers", category=category))["list"]}
        for category in ("linear", "spot")
    }
    settling = {s for s, row in tickers["linear"].items() if int(row.get("nextFundingTime") or 0)}
    names = sorted(s for c, s in listed if c == "linear" and ("spot", s) in listed)
    names = [name for name in names if name in settling and name in tickers["spot"]]
    if symbols is not None:
        if gone := sorted(set(symbols) - set(names)):
            raise Misconfigured(f"--live: {gone[0]} does not trade as spot and perpetual there.")
        names = sorted(symbols)
    if not 0 < len(names) <= MOST_SYMBOLS:
        raise Misconfigured(
            f"--live: {len(names)} symbols are listed there; choose up to {MOST_SYMBOLS} of them "
            "with --symbols BTCUSDT,ETHUSDT."
        )
    books: dict[Product, LiveBook] = {}
    now_ms = 0
    for category, name in ((c, n) for n in names for c in ("linear", "spot")):
        shown = await rest.get("orderbook", category=category, symbol=name, limit=50)
        books[category, name] = LiveBook()
        books[category, name].apply(shown, whole=True)
        now_ms = max(now_ms, int(shown["ts"]))
    found = {
        name: await rest.symbol(name, now_ms, tickers["linear"][name], tickers["spot"][name])
        for name in names
    }
    products = [rule for (_, name), rule in listed.items() if name in found]
    return LiveMarket(products, found, books, now_ms)


def _trades(category: str, row: Row) -> bool:
    usual = category == "spot" or row["contractType"] == "LinearPerpetual"
    return usual and (row["status"], row["quoteCoin"]) == ("Trading", "USDT")


def _rules(category: str, row: Row) -> ProductRules:
    lot, spot = row["lotSizeFilter"], category == "spot"
    taker, maker = FEES[category]
    return ProductRules(
        category=category,
        symbol=row["symbol"],
        base=row["baseCoin"],
        quote=row["quoteCoin"],
        tick=Decimal(row["priceFilter"]["tickSize"]),
        step=Decimal(lot["basePrecision" if spot else "qtyStep"]),
        min_qty=Decimal(lot["minOrderQty"]),
        max_qty=Decimal(lot["maxLimitOrderQty" if spot else "maxOrderQty"]),
        min_notional=Decimal(lot["minOrderAmt" if spot else "minNotionalValue"]),
        taker_fee=taker,
        maker_fee=maker,
        max_leverage=Decimal(1) if spot else Decimal(row["leverageFilter"]["maxLeverage"]),
        maintenance_rate=MAINTENANCE_RATE,
        half_spread_bps=Decimal(1),
        level_notional=Decimal(1),
        launch_ms=0 if spot else int(row["launchTime"]),
        funding_cap=None if spot else Decimal(row["upperFundingRate"]),
        price_band=Decimal(band) if (band := row["riskParameters"]["priceLimitRatioY"]) else None,
    )
