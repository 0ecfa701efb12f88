"""What the market looks like at one instant. A missing number is None, never a default."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Pair
from shared.domain.money import ratio
from shared.domain.signals import Signals


@dataclass(frozen=True, slots=True)
class Quote:
    """The top of one book: prices in quote units, sizes in base units, venue time."""

    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    venue_at: datetime

    @property
    def mid_price(self) -> Decimal:
        """Half way between best bid and best ask."""
        return (self.bid + self.ask) / 2

    @property
    def spread_rate(self) -> Decimal:
        """Ask minus bid as a fraction of the mid price: what a round trip at the touch costs."""
        return ratio(self.ask - self.bid, self.mid_price)

    @property
    def is_sound(self) -> bool:
        """Whether prices are positive and not crossed."""
        return 0 < self.bid < self.ask and self.bid_size > 0 and self.ask_size > 0


class Pool(StrEnum):
    """What the insurance pool behind a perpetual does: a short one deleverages its winners.

    Nobody watches it in a back-test, which has no history of it, and where the venue tells nothing
    of that symbol; it is ``lost`` when what is watched has not been told of late.
    """

    UNWATCHED = "unwatched"
    SOUND = "sound"
    SHORT = "short"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class BasisLevel:
    """The basis of ``pair`` at ``at`` (UTC), of the closes of the hour that ended then."""

    pair: str
    at: datetime
    rate: Decimal


@dataclass(frozen=True, slots=True)
class PairMarket:
    """Both books of a pair, its mark and index price, and its settled funding, oldest first.

    ``settled_by`` is when the newest settlement was that passed while the ticker was watched;
    ``signals`` is what statistics say of the settled rates and of the basis at the settlements.
    """

    pair: Pair
    spot: Quote | None
    perp: Quote | None
    mark_price: Decimal | None
    index_price: Decimal | None
    predicted_rate: Decimal | None
    next_funding_at: datetime | None
    funding_interval: timedelta | None
    settled_by: datetime | None
    settlements: tuple[FundingSettlement, ...]
    signals: Signals | None = None
    pool: Pool = Pool.UNWATCHED

    @property
    def basis_rate(self) -> Decimal | None:
        """Perp mid over spot mid minus one; None when a book is missing."""
        if self.spot is None or self.perp is None:
            return None
        return basis_of(self.spot.mid_price, self.perp.mid_price)


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """Every pair at one venue instant, cut at it."""

    instant: datetime
    pairs: Mapping[str, PairMarket]


def basis_of(spot_price: Decimal, perp_price: Decimal) -> Decimal:
    """Return perpetual over spot minus one: positive when the perpetual is the dearer leg."""
    return ratio(perp_price - spot_price, spot_price)
