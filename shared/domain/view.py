"""The market as it arrives: the newest of everything, from which snapshots are cut."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.funding import FundingSettlement, is_complete, newest_passed
from shared.domain.instrument import Category, Pair
from shared.domain.market import BasisLevel, MarketSnapshot, PairMarket, Pool, Quote
from shared.domain.signals import Signals


@dataclass(frozen=True, slots=True)
class PerpPrices:
    """What comes with a linear ticker besides its book, ``ticker_at`` by the venue's clock."""

    mark_price: Decimal | None
    index_price: Decimal | None
    predicted_rate: Decimal | None
    next_funding_at: datetime | None
    funding_interval: timedelta | None
    ticker_at: datetime
    pool: Pool = Pool.UNWATCHED


class MarketView:
    """The newest quote of both legs of each pair, and the last ``keep`` settlements, oldest first.

    A snapshot shows the last ``show`` of them (None: all): the signals tell of the rest, and of the
    last ``keep`` basis levels. Applying anything twice, or something older than what is known,
    changes nothing.
    """

    def __init__(self, pairs: Iterable[Pair], keep: int, show: int | None = None) -> None:
        self._keep = keep
        self._show = keep if show is None else show
        self._markets = {
            pair.name: PairMarket(pair, None, None, None, None, None, None, None, None, ())
            for pair in pairs
        }
        self._levels: dict[str, dict[datetime, Decimal]] = {name: {} for name in self._markets}

    @property
    def markets(self) -> Mapping[str, PairMarket]:
        """Every pair as known now."""
        return self._markets

    def quoted(
        self, category: Category, symbol: str, quote: Quote, prices: PerpPrices | None = None
    ) -> None:
        """Take in the top of one book; ``prices`` come with linear ones."""
        for name, market in self._markets.items():
            if category is Category.SPOT and market.pair.spot.symbol == symbol:
                if market.spot is None or quote.venue_at >= market.spot.venue_at:
                    self._markets[name] = replace(market, spot=quote)
            elif (
                category is Category.LINEAR
                and market.pair.perp.symbol == symbol
                and (market.perp is None or quote.venue_at >= market.perp.venue_at)
            ):
                self._markets[name] = _with_prices(replace(market, perp=quote), prices)

    def settled(self, settlement: FundingSettlement) -> None:
        """Take in a settled rate, in any order."""
        market = self._markets.get(settlement.symbol)
        if market is None:
            return
        known = market.settlements
        place = bisect_left(known, settlement.settled_at, key=lambda s: s.settled_at)
        if place < len(known) and known[place].settled_at == settlement.settled_at:
            return
        known = (*known[:place], settlement, *known[place:])[-self._keep :]
        self._markets[settlement.symbol] = replace(market, settlements=known)

    def levelled(self, level: BasisLevel) -> None:
        """Take in the basis at one instant, in any order; the first word on it stands."""
        known = self._levels.get(level.pair)
        if known is None:
            return
        known.setdefault(level.at, level.rate)
        if len(known) > self._keep:
            del known[min(known)]

    def levels(self, pair: str) -> Mapping[datetime, Decimal]:
        """Return the basis of a pair at each instant it is known of, in no order."""
        return self._levels[pair]

    def signalled(self, pair: str, signals: Signals) -> None:
        """Take in what statistics say of a pair's past."""
        self._markets[pair] = replace(self._markets[pair], signals=signals)

    def renew(self, pair: Pair) -> None:
        """Take in the rules of a pair as they are now; what is known of its market stays."""
        self._markets[pair.name] = replace(self._markets[pair.name], pair=pair)

    def newest_instant(self, every: timedelta) -> datetime | None:
        """Return the latest multiple of ``every`` (from midnight UTC) all books have reached.

        A pair that does not trade any more is not waited for: its books may have ended.
        """
        stamps = [
            None if quote is None else quote.venue_at
            for market in self._awaited()
            for quote in (market.spot, market.perp)
        ]
        known = [stamp for stamp in stamps if stamp is not None]
        if not known or len(known) < len(stamps):
            return None
        oldest = min(known)
        midnight = oldest.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + ((oldest - midnight) // every) * every

    def funding_is_complete(self, instant: datetime) -> bool:
        """Return whether each pair's settlement due by ``instant`` is known."""
        return all(
            market.next_funding_at is not None
            and is_complete(
                market.settlements,
                market.next_funding_at,
                market.funding_interval,
                market.settled_by,
                instant,
            )
            for market in self._awaited()
        )

    def _awaited(self) -> Sequence[PairMarket]:
        """Return the pairs that trade; all of them when none does."""
        known = list(self._markets.values())
        return [market for market in known if market.pair.is_trading] or known

    def snapshot(self, instant: datetime) -> MarketSnapshot:
        """Return every pair as known now, to be judged as of ``instant``."""
        return MarketSnapshot(
            instant,
            {
                name: replace(market, settlements=market.settlements[-self._show :])
                for name, market in self._markets.items()
            },
        )


def _with_prices(market: PairMarket, prices: PerpPrices | None) -> PairMarket:
    if prices is None:
        return market
    announced, following = market.next_funding_at, prices.next_funding_at
    settled_by = market.settled_by
    # Only a change seen by ourselves is exact: the first ticker's interval may just have changed.
    if announced and following and announced < following:
        passed = newest_passed(announced, following, prices.funding_interval, prices.ticker_at)
        settled_by = passed or settled_by
    return replace(
        market,
        mark_price=prices.mark_price,
        index_price=prices.index_price,
        predicted_rate=prices.predicted_rate,
        next_funding_at=prices.next_funding_at,
        funding_interval=prices.funding_interval,
        settled_by=settled_by,
        pool=prices.pool,
    )
