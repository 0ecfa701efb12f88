"""A market made of a seed: any instant can be asked for, and the same seed gives the same bytes.

Prices are layers of noise, drawn by hashing (seed, symbol, layer, point) and joined by straight
lines: nothing is remembered from one instant to the next, so a restart goes on where it stood.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from services.simulator.market import Due, Product
from shared.history.records import HOUR_MS, Bar, Settlement
from shared.history.rules import ProductRules
from shared.venue.books import Levels

MOST_SYMBOLS: Final = 1000
NAMED: Final = {"BTC": 370_000, "ETH": 205_000, "SOL": 55_000, "XRP": 66_000, "BNB": 24_500}
PLACES: Final = {"BTC": 1, "ETH": 2, "SOL": 3, "XRP": 5, "BNB": 2}
MILLION: Final = 1_000_000
LAYERS: Final = ((8 * HOUR_MS, 30_000), (HOUR_MS, 8_000), (60_000, 1_000), (1_000, 150))
BASIS: Final = (2 * HOUR_MS, 500)  # premium of the perpetual over spot, period and millionths
CAP: Final = Decimal("0.005")
PRICE_BAND: Final = Decimal("0.05")
RATE_PLACES: Final = -8
KEPT_DAYS: Final = 90  # of history before the start
GROUPS: Final = 10  # how many moments of one step the symbols are spread over
DEPTH: Final = 5
EXEMPT: Final = ("BTCUSDT", "ETHUSDT")  # from the hourly interval at the cap


@dataclass(frozen=True, slots=True)
class Happening:
    """One scripted event of a symbol, from ``from_ms`` to before ``until_ms`` (None: for ever).

    - ``funding``: settles ``rate``; after a settlement at a bound the interval is
      ``interval_hours`` (None: one hour, as on the venue, where BTC and ETH are exempt).
    - ``mark_spike``: the mark price alone stands ``move`` (a fraction) off.
    - ``delisting``: announced at ``from_ms``, the perpetual ends at ``until_ms``.
    """

    kind: str
    symbol: str
    from_ms: int
    until_ms: int | None = None
    rate: Decimal = CAP
    move: Decimal = Decimal(0)
    interval_hours: int | None = None

    def holds(self, at_ms: int) -> bool:
        """Return whether the event is on."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


class Synthetic:
    """A ``Source`` of 1 to 1,000 symbols, each moving every ``step_ms`` of venue time.

    Raises: ValueError when there are too many symbols, or an event names none of them.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        start_ms: int,
        step_ms: int,
        happenings: Sequence[Happening] = (),
    ) -> None:
        if not 1 <= count <= MOST_SYMBOLS:
            raise ValueError(f"{count} symbols: choose from 1 to {MOST_SYMBOLS}")
        bases = [*NAMED, *(f"S{number:04d}" for number in range(len(NAMED) + 1, count + 1))][:count]
        self._key = seed.to_bytes(8, "big", signed=True)
        self._origin_ms = start_ms // HOUR_MS * HOUR_MS - KEPT_DAYS * 24 * HOUR_MS
        self._places = {f"{base}USDT": place for place, base in enumerate(bases)}
        self.symbols = tuple(sorted(self._places))
        self.products: Mapping[Product, ProductRules] = {
            (product.category, product.symbol): product
            for base in bases
            for product in self._rules(base)
        }
        self._ticks = {
            name: NAMED.get(name[:-4], 10_000 + self._drawn(place, 99, 0, 80_000))
            for name, place in self._places.items()
        }
        self._lots = {key: self._lot(key) for key in self.products}
        self._usual = {name: self._usual_interval(n) for name, n in self._places.items()}
        groups = min(GROUPS, count)
        self._slot_ms = max(1, step_ms // groups)
        self._groups = [self.symbols[first::groups] for first in range(groups)]
        self._happenings: dict[str, list[Happening]] = {name: [] for name in self.symbols}
        for happening in happenings:
            if happening.symbol not in self._happenings:
                raise ValueError(f"the script names {happening.symbol}, which is not listed")
            self._happenings[happening.symbol].append(happening)
        self._points: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._newest: dict[str, Bar] = {}
        self._days: dict[str, tuple[int, int, tuple[Bar, ...]]] = {}
        self._next: dict[str, tuple[int, int, int, Decimal]] = {}
        self._paid: dict[str, list[Settlement]] = {name: [] for name in self.symbols}
        self._paid_to = dict.fromkeys(self.symbols, self._origin_ms)

    async def dues(self, start_ms: int, done_ms: int) -> AsyncIterator[Due]:
        """Yield the timetable, letting others run in between."""
        for due in self.timetable(start_ms, done_ms):
            yield due
            await asyncio.sleep(0)

    def timetable(self, start_ms: int, done_ms: int) -> Iterator[Due]:
        """Yield moves and settlements without end, in order."""
        done = max(start_ms, done_ms)
        slot = done // self._slot_ms + 1
        while True:
            at = slot * self._slot_ms
            for hour in range((done // HOUR_MS + 1) * HOUR_MS, at + 1, HOUR_MS):
                settling = tuple(("linear", s) for s in self.symbols if self._settles(s, hour))
                if settling:
                    yield Due(hour, hour, settles=True, products=settling)
            names = self._groups[slot % len(self._groups)]
            both = tuple((side, name) for name in names for side in ("spot", "linear"))
            yield Due(at, at, settles=False, products=both)
            done, slot = at, slot + 1

    def last_move(self, start_ms: int, now_ms: int) -> Due | None:
        """Return a move of everything at ``now_ms``: any instant can be asked for."""
        return Due(now_ms, now_ms, settles=False) if now_ms > start_ms else None

    def bar(self, symbol: str, at_ms: int) -> Bar | None:
        """Return the prices at ``at_ms``; None before the first."""
        if at_ms < self._origin_ms:
            return None
        known = self._newest.get(symbol)
        if known is None or known.at_ms != at_ms:
            known = self._newest[symbol] = self._drawn_bar(symbol, at_ms)
        return known

    def index(self, symbol: str, bar: Bar) -> Decimal:
        """Return the spot price: the index has no other source here."""
        return bar.spot

    def books(self, category: str, symbol: str, bar: Bar) -> tuple[Levels, Levels]:
        """Return five levels a tick apart; a delisted perpetual has none."""
        if category == "linear" and 0 < self.delivery_ms(symbol, bar.at_ms) <= bar.at_ms:
            return [], []
        tick = self.products[category, symbol].tick
        lot = self._lots[category, symbol]
        close = bar.spot if category == "spot" else bar.perp
        place = self._places[symbol]
        drawn = self._digest(place, 50 + (category == "spot"), bar.at_ms)
        bids = [(close - tick * n, lot * (n * 50 + drawn[n])) for n in range(1, DEPTH + 1)]
        asks = [(close + tick * n, lot * (n * 50 + drawn[-n])) for n in range(1, DEPTH + 1)]
        return bids, asks

    def closed_bars(self, symbol: str, at_ms: int, most: int | None = None) -> tuple[Bar, ...]:
        """Return the prices at each full hour up to ``at_ms``, oldest first."""
        last = at_ms // HOUR_MS
        first = self._origin_ms // HOUR_MS
        count = last - first + 1 if most is None else min(most, last - first + 1)
        known = self._days.get(symbol)
        if known is None or known[:2] != (last, count):
            hours = range(last - count + 1, last + 1)
            bars = tuple(self._drawn_bar(symbol, hour * HOUR_MS) for hour in hours)
            known = self._days[symbol] = (last, count, bars)
        return known[2]

    def due_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the settlement of exactly this instant."""
        if not self._settles(symbol, at_ms):
            return None
        return Settlement(at_ms, self._rate(symbol, at_ms), self._interval(symbol, at_ms - 1))

    def last_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the newest settlement at or before ``at_ms``."""
        for hour in range(at_ms // HOUR_MS * HOUR_MS, self._origin_ms, -HOUR_MS):
            settled = self.due_settlement(symbol, hour)
            if settled is not None:
                return settled
        return None

    def settled(self, symbol: str, at_ms: int) -> tuple[Settlement, ...]:
        """Return every settlement at or before ``at_ms``, oldest first."""
        paid = self._paid[symbol]
        for hour in range(self._paid_to[symbol] + HOUR_MS, at_ms + 1, HOUR_MS):
            settled = self.due_settlement(symbol, hour)
            if settled is not None:
                paid.append(settled)
            self._paid_to[symbol] = hour
        return tuple(s for s in paid if s.at_ms <= at_ms)

    def next_settlement(self, symbol: str, at_ms: int) -> tuple[int, int]:
        """Return the instant and the interval (hours) of the next settlement after ``at_ms``."""
        return self._coming(symbol, at_ms)[1:3]

    def estimate(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the coming rate itself: the running estimate of this market is never wrong."""
        return self._coming(symbol, at_ms)[3]

    def delivery_ms(self, symbol: str, at_ms: int) -> int:
        """Return when the perpetual ends, once that is announced."""
        for each in self._of(symbol, "delisting"):
            if each.from_ms <= at_ms and each.until_ms is not None:
                return each.until_ms
        return 0

    def _coming(self, symbol: str, at_ms: int) -> tuple[int, int, int, Decimal]:
        """Return the hour that was asked in, and instant, interval and rate of what comes next."""
        asked = at_ms // HOUR_MS
        known = self._next.get(symbol)
        if known is None or known[0] != asked:
            hour = (asked + 1) * HOUR_MS
            while not self._is_scheduled(symbol, hour):
                hour += HOUR_MS
            rate = self._rate(symbol, hour)
            known = self._next[symbol] = asked, hour, self._interval(symbol, hour - 1), rate
        return known

    def _of(self, symbol: str, kind: str) -> Iterable[Happening]:
        return (each for each in self._happenings[symbol] if each.kind == kind)

    def _settles(self, symbol: str, at_ms: int) -> bool:
        ended = 0 < self.delivery_ms(symbol, at_ms) < at_ms
        return self._is_scheduled(symbol, at_ms) and not ended

    def _is_scheduled(self, symbol: str, at_ms: int) -> bool:
        return at_ms % (self._interval(symbol, at_ms - 1) * HOUR_MS) == 0

    def _interval(self, symbol: str, at_ms: int) -> int:
        """Return the interval that runs at ``at_ms``, in hours."""
        usual = self._usual[symbol]
        for each in self._of(symbol, "funding"):
            hours = each.interval_hours
            if hours is None:
                hours = 1 if abs(each.rate) == CAP and symbol not in EXEMPT else usual
            first = -(-each.from_ms // (usual * HOUR_MS)) * usual * HOUR_MS
            if each.holds(at_ms) and at_ms >= first:
                return hours
        return usual

    def _usual_interval(self, place: int) -> int:
        return 8 if place < len(NAMED) else (8, 8, 8, 4, 4, 1)[self._drawn(place, 98, 0, 6)]

    def _rate(self, symbol: str, at_ms: int) -> Decimal:
        for each in self._of(symbol, "funding"):
            if each.holds(at_ms):
                return each.rate
        place = self._places[symbol]
        usual = self._drawn(place, 97, 0, 40_000) - 10_000 + self._noise(place, 6, at_ms) // 50
        return Decimal(usual).scaleb(RATE_PLACES)

    def _drawn_bar(self, symbol: str, at_ms: int) -> Bar:
        place, ticks = self._places[symbol], self._ticks[symbol]
        tick = self.products["linear", symbol].tick
        slow = sum(
            amplitude * self._noise(place, layer, at_ms) // MILLION
            for layer, (_, amplitude) in enumerate(LAYERS)
        )
        premium = BASIS[1] * self._noise(place, 5, at_ms) // MILLION
        spot = tick * (ticks * (MILLION + slow) // MILLION)
        perp = tick * (ticks * (MILLION + slow + premium) // MILLION)
        moved = sum((e.move for e in self._of(symbol, "mark_spike") if e.holds(at_ms)), Decimal(0))
        mark = tick * int(perp * (1 + moved) / tick) if moved else perp
        return Bar(at_ms, spot, perp, mark)

    def _noise(self, place: int, layer: int, at_ms: int) -> int:
        """Return a number from minus to plus a million that moves in straight lines."""
        period = LAYERS[layer][0] if layer < len(LAYERS) else BASIS[0]
        point, past = divmod(at_ms, period)
        known = self._points.get((place, layer))
        if known is None or known[0] != point:
            ends = (self._drawn(place, layer, point + n, 2 * MILLION + 1) - MILLION for n in (0, 1))
            known = self._points[place, layer] = (point, *ends)  # type: ignore[assignment]
        assert known is not None
        return known[1] + (known[2] - known[1]) * past // period

    def _drawn(self, place: int, layer: int, point: int, below: int) -> int:
        return int.from_bytes(self._digest(place, layer, point)[:8], "big") % below

    def _digest(self, place: int, layer: int, point: int) -> bytes:
        what = b"%d %d %d" % (place, layer, point)
        return blake2b(what, digest_size=16, key=self._key).digest()

    def _rules(self, base: str) -> Iterator[ProductRules]:
        place = self._places[f"{base}USDT"]
        tick = Decimal(1).scaleb(-PLACES.get(base, 1 + self._drawn(place, 96, 0, 4)))
        ticks = NAMED.get(base, 40_000)
        whole = len(str(int(ticks * tick))) if ticks * tick >= 1 else 0
        step = Decimal(1).scaleb(-max(0, whole - 1))
        for category, taker, maker in (("linear", "0.00055", "0.0002"), ("spot", "0.001", "0.001")):
            linear = category == "linear"
            own = step if linear else step.scaleb(-2)
            yield ProductRules(
                category=category,
                symbol=f"{base}USDT",
                base=base,
                quote="USDT",
                tick=tick,
                step=own,
                min_qty=own,
                max_qty=own * 10_000_000,
                min_notional=Decimal(5),
                taker_fee=Decimal(taker),
                maker_fee=Decimal(maker),
                max_leverage=Decimal(50),
                maintenance_rate=Decimal("0.01"),
                half_spread_bps=Decimal(1),
                level_notional=Decimal(20_000),
                launch_ms=self._origin_ms,
                funding_cap=CAP if linear else None,
                price_band=PRICE_BAND,
            )

    def _lot(self, key: Product) -> Decimal:
        """Return the quantity of which the levels of a book are multiples."""
        product = self.products[key]
        price = self._ticks[key[1]] * product.tick
        return product.step * max(1, int(product.level_notional / price / product.step / 100))
