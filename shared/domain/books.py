"""The books: what the account holds, whose it is and what it earned, from log rows alone: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from decimal import Decimal, localcontext

from shared.domain.log import STABLE, LogRow, OwnedRow, kind_of
from shared.domain.money import ONE, ZERO
from shared.domain.profit import WIDE, Life, Parts, Stake, valued

DayKey = tuple[date, str, str]
"""Day (venue time, UTC), pair (empty: nobody's), asset."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the holdings of one pair are worth: spot mid and perpetual mark, in USDT."""

    mid: Decimal | None
    mark: Decimal | None


@dataclass(frozen=True)
class PnlStatement:
    """Profit and loss of every pair, and of the account in total; pairs are valued at once."""

    pairs: Mapping[str, Parts]
    total: Parts


@dataclass(frozen=True)
class Booked:
    """What a batch changed: each life it touched, by pair and number, and what each day earned."""

    lives: dict[tuple[str, int], Life] = field(default_factory=dict)
    days: dict[DayKey, Parts] = field(default_factory=dict)


@dataclass
class Books:
    """``wallet`` and ``brought`` (opening, deposits) per asset, ``totals`` realised per pair.

    ``lives`` holds each pair's newest life; ``perps`` the whole account's perpetuals by symbol,
    whoever owns them; ``totals`` under ``""`` what belongs to no pair, of the stable coin.
    """

    wallet: dict[str, Decimal] = field(default_factory=dict)
    brought: dict[str, Decimal] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)
    perps: dict[str, Stake] = field(default_factory=dict)
    totals: dict[str, Parts] = field(default_factory=dict)

    def copy(self) -> "Books":
        """Return books that can be written without touching these."""
        return Books(*(dict(getattr(self, name)) for name in self.__dataclass_fields__))

    def coin(self, pair: str) -> Decimal:
        """Return the base coin that the pair owns."""
        life = self.lives.get(pair)
        return ZERO if life is None else life.coin.quantity

    def perp(self, pair: str) -> Decimal:
        """Return the perpetual that the pair owns, signed."""
        life = self.lives.get(pair)
        return ZERO if life is None else life.perp.quantity

    def book(self, rows: Iterable[OwnedRow]) -> Booked:
        """Book rows in their order and return what they changed."""
        booked = Booked()
        for owned in rows:
            for key, earned in self._apply(owned).items():
                booked.days[key] = booked.days.get(key, Parts()) + earned
            if owned.pair is not None and owned.pair in self.lives:
                life = self.lives[owned.pair]
                booked.lives[owned.pair, life.number] = life
        return booked

    def _apply(self, owned: OwnedRow) -> dict[DayKey, Parts]:
        """Book one row and return what it earned, by day, owner and asset."""
        row = owned.row
        if owned.is_seen:
            return {}
        with localcontext(WIDE):
            _add(self.wallet, row.currency, row.change)
            match kind_of(row):
                case "opening":
                    self._open(owned)
                    return {}
                case "external":
                    _add(self.brought, row.currency, row.cash_flow)
                    earned = replace(_flows(row), basis=ZERO)
                case "repair":
                    earned = self._adopt(owned)
                case "trade":
                    earned = self._trade(owned)
                case _:
                    earned = _flows(row)
        pair, asset = owned.pair or "", row.currency
        if pair and asset == owned.base:
            asset = STABLE  # told at the price of its fill
        if asset == STABLE:
            self.totals[pair] = self.totals.get(pair, Parts()) + earned
            life = self.lives.get(pair)
            if life is not None:
                self.lives[pair] = replace(life, parts=life.parts + earned)
        return {(row.venue_at.astimezone(UTC).date(), pair, asset): earned}

    def unowned_coin(self, coin: str, pairs: Iterable[str]) -> Decimal:
        """Return how much of a coin belongs to none of ``pairs``, which are those that trade it."""
        with localcontext(WIDE):
            return self.wallet.get(coin, ZERO) - sum((self.coin(p) for p in pairs), ZERO)

    def unowned_perp(self, symbol: str, pair: str) -> Decimal:
        """Return how much of a perpetual is not its pair's, signed."""
        with localcontext(WIDE):
            return self.perps.get(symbol, Stake()).quantity - self.perp(pair)

    def worth(self, prices: Mapping[str, Prices], bases: Mapping[str, str]) -> Decimal:
        """Return the account's worth in USDT: wallet at spot mids, perpetuals at their marks.

        ``bases`` maps each pair to its coin. Coins that no pair trades are left out.
        Raises: Transient when something is held that has no price.
        """
        with localcontext(WIDE):
            held = sum(
                (
                    stake.unrealized(prices[symbol].mark)
                    for symbol, stake in self.perps.items()
                    if symbol in prices
                ),
                ZERO,
            )
            return _value(self.wallet, prices, bases) + held

    def statement(
        self, prices: Mapping[str, Prices], bases: Mapping[str, str]
    ) -> tuple[Decimal, PnlStatement]:
        """Return the account's worth and the profit since the books were opened.

        A pair's parts add up to what it earned; the total's to worth less what was brought in,
        valued alike. What is no pair's (coins held before, a stranger's trades, unknown kinds)
        earns for the total alone, as basis unless it is funding, fees or borrow.
        """
        nowhere = Prices(None, None)
        pairs = {
            name: self.pnl(name, prices.get(name, nowhere))
            for name in sorted({*self.lives, *self.totals} - {""})
        }
        with localcontext(WIDE):
            worth = self.worth(prices, bases)
            loose = replace(self.totals.get("", Parts()), basis=ZERO)
            parts = sum(pairs.values(), loose)
            net = worth - _value(self.brought, prices, bases)
            total = replace(parts, basis=parts.basis + net - parts.net)
        return worth, PnlStatement(pairs, total)

    def pnl(self, pair: str, prices: Prices) -> Parts:
        """Return all that the pair earned, what is unrealised counted as basis."""
        parts = self.totals.get(pair, Parts())
        life = self.lives.get(pair)
        if life is None:
            return parts
        with localcontext(WIDE):
            return replace(parts, basis=parts.basis + life.unrealized(prices.mid, prices.mark))

    def _open(self, owned: OwnedRow) -> None:
        row = owned.row
        if row.category == "linear":  # entered at its price; its gain up to now is brought in
            quantity = row.signed_quantity
            mark = owned.reference_price or row.traded_at
            self.perps[row.symbol] = Stake(quantity, quantity * row.traded_at)
            _add(self.brought, row.currency, quantity * (mark - row.traded_at))
        else:
            _add(self.brought, row.currency, row.change)

    def _adopt(self, owned: OwnedRow) -> Parts:
        """Give a pair what nobody owned, at the price of the moment; a negative quantity takes.

        The coins count as brought in as cash from then on: their price was nobody's before.
        """
        row = owned.row
        quantity, value = row.signed_quantity, row.signed_quantity * row.traded_at
        is_perp = row.category == "linear"
        if not is_perp:
            _add(self.brought, owned.base, -quantity)
            _add(self.brought, STABLE, value)
        return Parts(basis=self._move(owned, quantity, value, is_perp=is_perp))

    def _trade(self, owned: OwnedRow) -> Parts:
        row = owned.row
        rounding = self._held_perp(row) if row.category == "linear" else ZERO
        if owned.pair is None:
            return replace(_flows(row), rounding=ZERO, basis=row.cash_flow + row.odd)
        price, reference = row.traded_at, owned.reference_price or row.traded_at
        if row.category == "linear":
            quantity = row.signed_quantity
            basis = self._move(owned, quantity, quantity * reference, is_perp=True)
            return Parts(
                basis=basis,
                fees=-row.fee,
                slippage=quantity * (reference - price),
                rounding=rounding + row.odd,
            )
        if row.currency != owned.base:
            return Parts(fees=-row.fee, rounding=row.cash_flow + row.odd)
        # The coin's row counts the coin as paid for, the stable coin's row pays: only what the
        # venue rounds between them stays in ``rounding``.
        quantity, fee, odd = row.cash_flow, row.fee * price, row.odd * price
        basis = self._move(owned, row.change, quantity * reference - fee + odd, is_perp=False)
        return Parts(
            basis=basis,
            fees=-fee,
            slippage=quantity * (reference - price),
            rounding=quantity * price + odd,
        )

    def _held_perp(self, row: LogRow) -> Decimal:
        """Move the account's perpetual; return what the venue rounded, once it is flat."""
        held = self.perps.get(row.symbol, Stake())
        quantity = row.signed_quantity
        after = Stake(
            held.quantity + quantity, held.cost + quantity * row.traded_at + row.cash_flow
        )
        rounding = ZERO
        if after.quantity == ZERO:
            rounding, after = after.cost, Stake()
        self.perps[row.symbol] = after
        return rounding

    def _move(self, owned: OwnedRow, change: Decimal, value: Decimal, *, is_perp: bool) -> Decimal:
        """Move one leg of the owner's life, ending it when it is flat; return the gain."""
        life = self._living(owned)
        held = life.perp if is_perp else life.coin
        stake, gain = held.moved(change, value)
        life = replace(life, perp=stake) if is_perp else replace(life, coin=stake)
        if held.quantity * change < ZERO and life.is_flat(owned.row.traded_at, owned.lot):
            life = replace(life, closed_at=owned.row.venue_at)
        self.lives[owned.pair or ""] = life
        return gain

    def _living(self, owned: OwnedRow) -> Life:
        """Return the life that the row belongs to: a closed one is followed by the next."""
        life = self.lives.get(owned.pair or "")
        at = owned.row.venue_at
        if life is None:
            return Life(1, at)
        if life.closed_at is None:
            return life
        return Life(life.number + 1, at, None, life.coin, life.perp)


def _flows(row: LogRow) -> Parts:
    """Return a row's own parts; what is neither funding, fee nor borrowing counts as basis."""
    moved = row.cash_flow
    match kind_of(row):
        case "borrow":
            return Parts(row.funding, ZERO, -row.fee, moved, rounding=row.odd)
        case "fees":
            return Parts(row.funding, ZERO, moved - row.fee, rounding=row.odd)
        case _:
            return Parts(row.funding, moved, -row.fee, rounding=row.odd)


def _add(totals: dict[str, Decimal], asset: str, amount: Decimal) -> None:
    totals[asset] = totals.get(asset, ZERO) + amount


def _value(
    amounts: Mapping[str, Decimal], prices: Mapping[str, Prices], bases: Mapping[str, str]
) -> Decimal:
    coins: dict[str, Decimal | None] = {
        coin: prices[name].mid for name, coin in bases.items() if name in prices
    }
    coins[STABLE] = ONE
    return sum(
        (valued(amount, coins[coin]) for coin, amount in amounts.items() if coin in coins), ZERO
    )
