"""Profit by cause, by hand-worked numbers; and for any sequence the parts add up exactly."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books import Books, PnlStatement, Prices
from shared.domain.errors import Transient
from shared.domain.log import LogRow, OwnedRow
from shared.domain.profit import WIDE, Parts, Stake
from tests.support.log_rows import AT, funding, own, perp, row, spot, transfer

PAIR = "BTCUSDT"
BASES = {PAIR: "BTC"}


def amounts(parts: Parts) -> dict[str, str]:
    """Every part that is not zero, as text without idle zeros."""
    names = ("funding", "basis", "fees", "borrow", "slippage", "rounding")
    told = {name: getattr(parts, name) for name in names}
    return {name: f"{part.normalize():f}" for name, part in told.items() if part}


def booked(*rows: OwnedRow) -> Books:
    books = Books()
    books.book(rows)
    return books


def opening_of(usdt: str, *coins: tuple[str, str]) -> list[OwnedRow]:
    return [
        OwnedRow(row(kind="OPENING", category="", symbol="", currency=c, cash_flow=a, change=a))
        for c, a in (("USDT", usdt), *coins)
    ]


def told(books: Books, mid: str, mark: str) -> tuple[Decimal, PnlStatement]:
    return books.statement({PAIR: Prices(Decimal(mid), Decimal(mark))}, BASES)


# Bought 2 at 101 where the mid was 100, 0.1 % (0.002) of the coins kept as fee; sold 1.998 short
# at 100.5 where the mid was 101, fee 0.11.
OPENED = [
    *(own(r, "100") for r in spot("2", "101", fee="0.002", name="s1")),
    own(perp("-1.998", "100.5", fee="0.11", name="p1"), "101"),
]


def test_what_an_opening_costs_is_told_by_cause() -> None:
    books = booked(*OPENED)
    # Slippage: 2 * (100 - 101) on the spot, 1.998 * (100.5 - 101) on the perpetual.
    # Fees: 0.002 coins at 101 and 0.11. Rounding is nothing once both rows of a fill are there.
    assert amounts(books.totals[PAIR]) == {"fees": "-0.312", "slippage": "-2.999"}
    life = books.lives[PAIR]
    # The coins count at the mid, less what the fee took of them: 200 - 0.202.
    assert life.coin == Stake(Decimal("1.998"), Decimal("199.798"))
    assert life.perp == Stake(Decimal("-1.998"), Decimal("-201.798"))
    # At mid 102 and mark 102: 1.998 * 102 = 203.796; gained 3.998 and lost 1.998.
    assert life.unrealized(Decimal(102), Decimal(102)) == Decimal("2.000")


def test_a_round_trip_ends_with_realised_parts_alone() -> None:
    later = AT + timedelta(days=1)
    books = booked(
        *OPENED,
        own(funding("1.5", at=AT + timedelta(hours=8))),
        *(own(r, "110") for r in spot("-1.998", "109", fee="0.2", at=later, name="s2")),
        # Entered at 100.5, left at 111: 1.998 * (100.5 - 111) = -20.979.
        own(perp("1.998", "111", gain="-20.979", fee="0.12", at=later, name="p2"), "110.5"),
    )
    # Basis at the mids: the spot 1.998 * 110 - 199.798 = 19.982, the perpetual
    # 201.798 - 1.998 * 110.5 = -18.981. Slippage: -2.999 - 1.998 * 1 - 1.998 * 0.5 = -5.996.
    assert amounts(books.totals[PAIR]) == {
        "funding": "1.5", "basis": "1.001", "fees": "-0.632", "slippage": "-5.996",
    }  # fmt: skip
    life = books.lives[PAIR]
    assert (life.number, life.opened_at, life.closed_at) == (1, AT, later)
    assert life.unrealized(None, None) == 0
    # The same from the cash: -202 + 217.782 - 0.2 - 0.11 - 20.979 - 0.12 + 1.5.
    assert books.wallet["USDT"] == books.totals[PAIR].net == Decimal("-4.127")


def test_each_day_tells_what_it_earned() -> None:
    books = Books()
    done = books.book(
        [
            own(perp("-1", "100", fee="0.05")),
            own(funding("0.3", at=AT + timedelta(hours=15, minutes=59))),
            own(funding("0.2", at=AT + timedelta(hours=16), name="f2")),
            OwnedRow(perp("0.5", "100", gain="7", fee="0.25", name="x")),
            OwnedRow(
                row(kind="INTEREST", category="", currency="BTC", cash_flow="-1", change="-1")
            ),
        ]
    )
    assert {(k[0], k[1], k[2]): amounts(v) for k, v in done.days.items()} == {
        (date(2023, 11, 11), PAIR, "USDT"): {"funding": "0.3", "fees": "-0.05"},
        (date(2023, 11, 12), PAIR, "USDT"): {"funding": "0.2"},
        (date(2023, 11, 11), "", "USDT"): {"basis": "7", "fees": "-0.25"},
        (date(2023, 11, 11), "", "BTC"): {"borrow": "-1"},
    }


def test_a_part_of_a_holding_releases_its_share_of_the_cost() -> None:
    # Three bought for 10 in all: one of them cost 3.333333333333, the two that stay the rest.
    stake, gain = Stake(Decimal(3), Decimal(10)).moved(Decimal(-1), Decimal(-4))
    assert gain == Decimal("0.666666666667")
    assert stake == Stake(Decimal(2), Decimal("6.666666666667"))
    # Sold short for 10 and bought back for 12, of which a third opens the other way.
    stake, gain = Stake(Decimal(-2), Decimal(-10)).moved(Decimal(3), Decimal(12))
    assert (stake, gain) == (Stake(Decimal(1), Decimal(4)), Decimal(2))


def test_dust_is_left_to_the_next_life_with_what_it_cost() -> None:
    books = booked(
        *(own(r) for r in spot("1.0005", "100", name="s1")),
        own(perp("-1", "100", name="p1")),
        own(perp("1", "100", name="p2")),
        *(own(r) for r in spot("-1", "100", name="s2")),
    )
    first = books.lives[PAIR]
    assert (first.number, first.closed_at is None, first.coin.quantity) == (
        1, False, Decimal("0.0005"),
    )  # fmt: skip
    changed = books.book(own(r) for r in spot("2", "200", name="s3"))
    assert sorted(changed.lives) == [(PAIR, 2)]
    second = books.lives[PAIR]
    assert second.coin == Stake(Decimal("2.0005"), Decimal("400.05"))
    assert second.parts == Parts()


def test_what_a_first_small_fill_buys_does_not_end_the_life_it_begins() -> None:
    books = booked(*(own(r) for r in spot("0.0005", "100", name="s1")))
    assert books.lives[PAIR].closed_at is None


def test_what_the_venue_rounds_is_told_once_the_perpetual_is_flat() -> None:
    # 0.3 entered at 100 on average and left at 99.99999999: the venue pays 0.00 for 0.000000003.
    books = booked(own(perp("-0.3", "100", name="p1")), own(perp("0.3", "99.99999999", name="p2")))
    assert amounts(books.totals[PAIR]) == {"basis": "0.000000003", "rounding": "-0.000000003"}
    assert books.perps[PAIR] == Stake()


def test_coins_held_before_earn_for_nobody() -> None:
    books = booked(*opening_of("1000", ("BTC", "2")), OwnedRow(transfer("50")))
    assert books.brought == {"USDT": Decimal(1050), "BTC": Decimal(2)}
    for mid in ("100", "250"):
        worth, statement = told(books, mid, mid)
        assert worth == 1050 + 2 * Decimal(mid)
        assert statement == PnlStatement({}, Parts())


def test_what_is_adopted_earns_for_its_pair_from_then_on() -> None:
    books = booked(*opening_of("1000", ("BTC", "2")))
    adopted = row(kind="ADOPT", currency="BTC", quantity="2", price="100", side="Buy")
    books.book([own(adopted)])
    worth, statement = told(books, "130", "130")
    assert worth == 1260
    assert statement.pairs[PAIR] == statement.total == Parts(basis=Decimal(60))
    assert books.brought == {"USDT": Decimal(1200), "BTC": Decimal(0)}


def test_a_strangers_fill_moves_the_account_and_no_pair() -> None:
    books = booked(
        *opening_of("1000"),
        *OPENED,
        OwnedRow(perp("-0.5", "100", fee="0.1", name="x")),
        *(OwnedRow(r) for r in spot("1", "100", name="y")),
    )
    assert books.lives[PAIR].perp.quantity == Decimal("-1.998")
    assert books.perps[PAIR].quantity == Decimal("-2.498")
    assert books.unowned_perp(PAIR, PAIR) == Decimal("-0.5")
    assert books.unowned_coin("BTC", [PAIR]) == 1
    statement = told(books, "100", "100")[1]
    # The stranger lost 0.1 of fees and nothing by prices.
    assert statement.total.net - statement.pairs[PAIR].net == Decimal("-0.1")


def test_what_has_no_price_is_not_guessed() -> None:
    with pytest.raises(Transient):
        booked(*OPENED).statement({PAIR: Prices(None, None)}, BASES)


def test_a_row_seen_before_the_opening_changes_nothing() -> None:
    assert booked(OwnedRow(transfer("5"), is_seen=True)) == Books()


@dataclass
class Account:
    """The account counted in the plainest way: what came in, what went out, what is held."""

    wallet: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(0)})
    brought: dict[str, Decimal] = field(default_factory=dict)
    perp: Decimal = Decimal(0)
    open_cash: Decimal = Decimal(0)
    pair_cash: Decimal = Decimal(0)
    pair_coin: Decimal = Decimal(0)
    pair_perp: Decimal = Decimal(0)

    def take(self, owned: OwnedRow) -> None:
        of = owned.row
        mine = owned.pair is not None
        self.wallet[of.currency] = self.wallet.get(of.currency, Decimal(0)) + of.change
        if of.kind in ("TRANSFER_IN", "TRANSFER_OUT"):
            self.brought[of.currency] = self.brought.get(of.currency, Decimal(0)) + of.change
        if of.kind == "ADOPT":
            self._adopt(of)
        elif of.category == "linear" and of.kind == "TRADE":
            self._trade_perp(of, mine)
        elif mine and of.currency == "BTC":
            self.pair_coin += of.change
        elif mine:
            self.pair_cash += of.change

    def _adopt(self, of: LogRow) -> None:
        self.pair_cash -= of.signed_quantity * of.traded_at
        if of.category == "linear":
            self.pair_perp += of.signed_quantity
            return
        self.pair_coin += of.signed_quantity
        self.brought["BTC"] = self.brought.get("BTC", Decimal(0)) - of.signed_quantity
        value = of.signed_quantity * of.traded_at
        self.brought["USDT"] = self.brought.get("USDT", Decimal(0)) + value

    def _trade_perp(self, of: LogRow, mine: bool) -> None:
        value = of.signed_quantity * of.traded_at
        self.perp += of.signed_quantity
        self.open_cash -= value + of.cash_flow
        if mine:
            self.pair_cash -= value + of.fee
            self.pair_perp += of.signed_quantity
        if self.perp == 0:  # the venue owes nothing more: what its rounding kept or gave is final
            self.pair_cash -= self.open_cash if mine else 0
            self.open_cash = Decimal(0)

    def worth(self, mid: Decimal, mark: Decimal) -> Decimal:
        held = self.wallet["USDT"] + self.wallet.get("BTC", Decimal(0)) * mid
        return held + self.open_cash + self.perp * mark

    def net(self, mid: Decimal, mark: Decimal) -> Decimal:
        brought = self.brought.get("USDT", Decimal(0)) + self.brought.get("BTC", Decimal(0)) * mid
        return self.worth(mid, mark) - brought

    def pair_net(self, mid: Decimal, mark: Decimal) -> Decimal:
        return self.pair_cash + self.pair_coin * mid + self.pair_perp * mark


# Few sizes, so that legs come back to flat; and any size.
quantities = st.sampled_from(["-1", "1", "-0.5", "0.5"]).map(Decimal) | st.decimals(
    "-3", "3", places=3
).filter(bool)
prices = st.decimals("0.5", "40000", places=2)
small = st.decimals("-2", "2", places=8)


@st.composite
def events(draw: st.DrawFn) -> list[OwnedRow]:
    """One thing that happens: a fill of ours or a stranger's, funding, a transfer, an adoption."""
    kind = draw(st.sampled_from(["spot", "perp", "perp", "funding", "transfer", "adopt"]))
    quantity, price = draw(quantities), draw(prices)
    mine = draw(st.booleans())
    match kind:
        case "spot":
            found = spot(f"{quantity}", f"{price}", fee=f"{draw(small)}")
        case "perp":
            gain, fee = f"{draw(small)}", f"{draw(small)}"
            found = [perp(f"{quantity}", f"{price}", gain=gain, fee=fee)]
        case "funding":
            found, mine = [funding(f"{draw(small)}")], True
        case "transfer":
            coin = draw(st.sampled_from(["USDT", "BTC"]))
            found, mine = [transfer(f"{draw(small)}", coin=coin)], False
        case _:
            category, coin = draw(st.sampled_from([("spot", "BTC"), ("linear", "USDT")]))
            found, mine = [
                row(
                    kind="ADOPT", category=category, currency=coin, quantity=abs(quantity),
                    price=price, side="Buy" if quantity > 0 else "Sell",
                )
            ], True  # fmt: skip
    reference = draw(st.none() | prices.map(str))
    return [own(r, reference) if mine else OwnedRow(r) for r in found]


@given(st.lists(events(), max_size=12), prices, prices)
def test_l4_parts_add_up_to_worth_less_what_was_brought_in(
    happened: list[list[OwnedRow]], mid: Decimal, mark: Decimal
) -> None:
    rows = [owned for event in happened for owned in event]
    books, account = Books(), Account()
    days: dict[str, Decimal] = {}
    with localcontext(WIDE):
        for owned in rows:
            for (_, pair, asset), parts in books.book([owned]).days.items():
                days[pair] = days.get(pair, Decimal(0)) + (parts.net if asset == "USDT" else 0)
            account.take(owned)
            worth, statement = told(books, str(mid), str(mark))
            assert worth == account.worth(mid, mark)
            assert statement.total.net == account.net(mid, mark)
            net = statement.pairs.get(PAIR, Parts()).net
            assert net == account.pair_net(mid, mark)
        if PAIR in books.lives:
            realised = net - books.lives[PAIR].unrealized(mid, mark)
            assert days.get(PAIR, Decimal(0)) == realised


@given(st.lists(events(), max_size=8))
def test_l4_each_life_holds_its_share_of_what_the_pair_realised(
    happened: list[list[OwnedRow]],
) -> None:
    books = Books()
    books.book([own(perp("-1", "100"))])
    lives = books.book([owned for event in happened for owned in event]).lives
    with localcontext(WIDE):
        total = sum((life.parts.net for life in lives.values()), Decimal(0))
        missing = books.totals[PAIR].net - total
    assert missing == 0
