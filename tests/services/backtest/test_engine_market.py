"""What the exact engine makes of the market's hard parts: joining, leaving, gaps, fees, ruin.

Traps 20 to 26 are FEATURES.md's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.backtest.assumptions import Assumptions, Fees, FeeTier, read_tiers
from services.backtest.engine import RunResult, run_carry
from shared.domain.errors import Misconfigured
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.records import (
    HOUR_MS,
    Bar,
    History,
    MalformedHistory,
    Settlement,
    SymbolHistory,
)
from shared.history.rules import sample_rules
from tests.services.backtest.steadfast import steadfast

START = datetime(2023, 11, 11, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RULES = {(p.category, p.symbol): p for p in sample_rules()}
SIZES = {"BTCUSDT": "0.333", "ETHUSDT": "4.99", "XRPUSDT": "15000"}


def ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def flat(
    symbol: str = "BTCUSDT",
    price: str = "30000",
    *,
    rate: str = "0.0005",
    first: datetime = START - 10 * DAY,
    last: datetime = START + 4 * DAY,
    hours: Sequence[int] = (0, 8, 16),
) -> SymbolHistory:
    """One price on both legs and the mark; the same rate at each of ``hours`` of the day."""
    bars = tuple(
        Bar(at, *[Decimal(price)] * 3) for at in range(ms(first) + HOUR_MS, ms(last) + 1, HOUR_MS)
    )
    interval = 24 // len(hours)
    paid = tuple(
        Settlement(b.at_ms, Decimal(rate), interval)
        for b in bars
        if b.at_ms // HOUR_MS % 24 in hours
    )
    return SymbolHistory(symbol, bars, paid)


def run(
    *parts: SymbolHistory,
    days: float = 4,
    start: datetime = START,
    deposit: int = 100_000,
    given: Assumptions | None = None,
    leaves_at: datetime | None = None,
    sizes: Mapping[str, str] = SIZES,
) -> RunResult:
    return run_carry(
        History({p.symbol: p for p in parts}),
        sample_rules(),
        CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=Decimal(deposit),
        start=start,
        end=start + days * DAY,
        assumptions=given,
        chooser=steadfast(sizes, leaves_at),
    )


# Universe


def test_b5_a_pair_joins_with_its_first_bar_and_is_unknown_before() -> None:
    late = flat("ETHUSDT", "2000", first=START + DAY)
    result = run(flat(), late)
    assert [(m.at, m.pairs) for m in result.universe] == [
        (START + timedelta(seconds=60), ("BTCUSDT",)),
        (START + DAY + HOUR + timedelta(seconds=60), ("BTCUSDT", "ETHUSDT")),
    ]
    assert {t[0] for t in result.targets if t[2] < START + DAY} == {"BTCUSDT"}


def test_b5_the_universe_by_date_is_what_the_record_lists() -> None:
    parts = [
        flat(),
        flat("ETHUSDT", "2000", first=START + DAY, last=START + 2 * DAY),
        flat("XRPUSDT", "0.5", last=START + 3 * DAY),
    ]
    result = run(*parts)
    for day in range(4):
        noon = ms(START + day * DAY + 12 * HOUR)
        listed = {p.symbol for p in parts if p.bars[0].at_ms <= noon <= p.bars[-1].at_ms}
        said = [m.pairs for m in result.universe if ms(m.at) <= noon + 60_000][-1]
        assert set(said) == listed


def test_b5_a_pair_whose_record_ends_is_closed_at_its_last_prices_and_not_marked_for_ever() -> None:
    gone = flat("ETHUSDT", "2000", last=START + 2 * DAY)
    result = run(flat(), gone)
    assert result.delisted == [("ETHUSDT", START + 2 * DAY + HOUR + timedelta(seconds=60))]
    assert set(result.held_at_end) == {"BTCUSDT"}
    closing = [b.fill for b in result.fills if b.pair == "ETHUSDT"][2:]
    assert [f.side.value for f in closing] == ["Buy", "Sell"]  # the short, then the coins
    assert closing[0].price == 2000
    assert closing[0].fee == 0  # a delivery is free, the sale of the coins is not
    assert closing[1].fee > 0
    later = [t for t in result.targets if t[0] == "ETHUSDT" and t[2] > result.delisted[0][1]]
    assert later == []


def test_a_delisted_pair_whose_coins_are_too_few_to_sell_is_delivered_once() -> None:
    gone = flat("ETHUSDT", "2000", last=START + 2 * DAY)
    fallen = Bar(gone.bars[-1].at_ms, *[Decimal(300)] * 3)
    gone = replace(gone, bars=(*gone.bars[:-1], fallen))
    result = run(flat(), gone, sizes=SIZES | {"ETHUSDT": "0.01"})  # 3 USDT, and 5 is the least
    assert result.delisted == [("ETHUSDT", START + 2 * DAY + HOUR + timedelta(seconds=60))]
    assert list(result.refused.values()) == [1]
    assert set(result.held_at_end) == {"BTCUSDT"}


# Settlement


def test_trap_20_an_interval_that_changes_is_followed_and_each_settlement_paid_once() -> None:
    calm = flat(last=START + 4 * DAY)
    changed = ms(START + DAY)
    back = ms(START + 2 * DAY)
    two_hourly = tuple(
        Settlement(b.at_ms, Decimal("0.0005"), 2 if changed < b.at_ms <= back else 8)
        for b in calm.bars
        if b.at_ms % ((2 if changed < b.at_ms <= back else 8) * HOUR_MS) == 0
    )
    result = run(replace(calm, settlements=two_hourly))
    # Opened at 00:01: three on the first day, twelve on the second, two days of three less the
    # midnight at which the run ends.
    assert result.settlements == 3 + 12 + 3 + 2
    notional = Decimal("0.333") * 30000
    assert result.curve[-1].funding == result.settlements * notional * Decimal("0.0005")


def test_trap_20_sols_week_of_two_hourly_settlements_is_paid_by_the_record() -> None:
    sol = read_history(symbols=["SOLUSDT"]).symbols["SOLUSDT"]
    start, days = datetime(2022, 11, 7, tzinfo=UTC), 7
    result = run(sol, start=start, days=days, sizes={"SOLUSDT": "300"})
    opened = ms(result.fills[0].decided_at)
    marks = {bar.at_ms: bar.mark for bar in sol.bars}
    due = [s for s in sol.settlements if opened < s.at_ms < ms(start + days * DAY)]
    assert {s.interval_hours for s in due} == {8, 2}
    assert result.settlements == len(due)
    size = -result.held_at_end["SOLUSDT"]
    assert result.curve[-1].funding == sum(s.rate * marks[s.at_ms] * size for s in due)
    assert result.curve[-1].funding < -size  # a quarter of the notional went in that week


def test_traps_21_and_22_settlements_fall_where_the_record_says_however_the_run_begins() -> None:
    odd = run(flat(), start=START + 5 * HOUR, days=2)
    # 08, 16, 00 / 08, 16, 00: six crossings in 48 hours from 05:00 on.
    assert odd.settlements == 6


def test_trap_23_a_rate_does_not_outlive_its_record() -> None:
    part = flat()
    ends = ms(START + DAY)
    cut = replace(part, settlements=tuple(s for s in part.settlements if s.at_ms <= ends))
    with pytest.raises(MalformedHistory, match=r"BTCUSDT: the settlement of 2023-11-12T08:00:00"):
        run(cut)
    result = run(cut, given=Assumptions(allow_gaps=True))
    assert result.settlements == 3
    assert result.gaps == 8  # 08 and 16 of the 12th, three on two days each, less the last midnight
    after = {p.funding for p in result.curve if p.at > START + DAY + HOUR}
    assert len(after) == 1


def test_trap_24_a_negative_rate_takes_what_a_positive_one_gives() -> None:
    part = flat()
    bent = replace(
        part,
        settlements=tuple(
            replace(s, rate=-s.rate) if s.at_ms > ms(START) else s for s in part.settlements
        ),
    )
    given, taken = (run(p, days=2).curve[-1].funding for p in (part, bent))
    assert given > 0
    assert given + taken == 0


def test_trap_25_funding_is_paid_on_the_size_held_at_the_instant() -> None:
    result = run(flat(), leaves_at=START + DAY + 9 * HOUR)
    # 08, 16, 00 and 08; what settles after the close is nobody's.
    assert result.settlements == 4
    assert result.curve[-1].funding == 4 * Decimal("0.0005") * 30000 * Decimal("0.333")
    assert result.held_at_end == {}


def test_trap_26_a_longer_history_before_the_run_changes_nothing_of_it() -> None:
    assert run(flat(first=START - 60 * DAY)) == run(flat())


# Gaps


def test_m6_a_run_over_a_hole_is_refused_unless_allowed_and_counts_it() -> None:
    part = flat()
    gone = ms(START + DAY + 8 * HOUR)
    holed = replace(part, settlements=tuple(s for s in part.settlements if s.at_ms != gone))
    with pytest.raises(MalformedHistory, match=r"2023-11-12T08:00:00.*--allow-gaps"):
        run(holed)
    allowed = run(holed, given=Assumptions(allow_gaps=True))
    assert (allowed.gaps, allowed.unpaid) == (1, 0)
    assert allowed.settlements == run(part).settlements - 1


@pytest.mark.parametrize("begins", [DAY, 9 * DAY], ids=["rates begin late", "no rate at all"])
def test_m6_a_hold_before_the_record_of_rates_begins_is_refused_unless_allowed(
    begins: timedelta,
) -> None:
    part = flat()
    late = tuple(s for s in part.settlements if s.at_ms >= ms(START + begins))
    cut = replace(part, settlements=late)
    with pytest.raises(MalformedHistory, match=r"the settlement of 2023-11-11T08:00:00.*is miss"):
        run(cut)
    # 08 and 16; where none came at all, three on each of three more days, less the last midnight.
    expected = 2 if late else 11
    assert run(cut, given=Assumptions(allow_gaps=True)).gaps == expected


def test_a_settlement_without_a_mark_is_not_paid_and_counted() -> None:
    part = flat()
    gone = ms(START + DAY + 8 * HOUR)
    holed = replace(part, bars=tuple(b for b in part.bars if b.at_ms != gone))
    result = run(holed, given=Assumptions(allow_gaps=True))
    assert (result.gaps, result.unpaid) == (1, 1)
    assert result.settlements == run(part).settlements - 1


def test_a_hole_outside_the_run_is_nobodys_business() -> None:
    part = flat()
    gone = ms(START - DAY)
    holed = replace(part, bars=tuple(b for b in part.bars if b.at_ms != gone))
    assert run(holed).gaps == 0


# Costs


def test_b3_fees_follow_their_tiers_by_date() -> None:
    half = Fees(Decimal("0.0005"), Decimal("0.0005"))
    free = Fees(Decimal(0), Decimal(0))
    tiers = (FeeTier(START - DAY, half, free), FeeTier(START + DAY, free, half))
    late = flat("ETHUSDT", "2000", first=START + DAY)
    result = run(flat(), late, given=Assumptions(tiers=tiers))
    fees = {
        (b.pair, b.fill.category.value): (b.fill.fee, b.fill.quantity, b.fill.price, b.decided_at)
        for b in result.fills
    }
    fee, quantity, _, at = fees["BTCUSDT", "spot"]
    assert at < START + DAY
    assert fee == quantity * Decimal("0.0005")  # in the coin
    assert fees["BTCUSDT", "linear"][0] == 0
    fee, quantity, price, at = fees["ETHUSDT", "linear"]
    assert at >= START + DAY
    assert fee == quantity * price * Decimal("0.0005")
    assert fees["ETHUSDT", "spot"][0] == 0


def test_b3_tiers_are_read_from_a_file_or_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "fees.toml"
    tier = (
        '[[tier]]\nfrom = {}\nspot = {{taker = "0.001", maker = {}}}\n'
        'linear = {{taker = "0.0005", maker = "0.0002"}}\n'
    )
    path.write_text(tier.format("2023-01-01", '"0.001"') + tier.format("2023-06-01", '"-0.0001"'))
    first, second = read_tiers(path)
    assert first.since == datetime(2023, 1, 1, tzinfo=UTC)
    assert second.spot.maker == Decimal("-0.0001")
    path.write_text(tier.format("2023-01-01", "0.001"))
    with pytest.raises(Misconfigured, match=r"tier 1 has no spot maker fee"):
        read_tiers(path)
    path.write_text(tier.format("2023-06-01", '"0"') + tier.format("2023-01-01", '"0"'))
    with pytest.raises(Misconfigured, match="order of their dates"):
        read_tiers(path)


def test_b1_two_equal_prices_give_no_basis_but_the_spread_that_was_crossed() -> None:
    result = run(flat())
    costs = sum(
        abs(b.fill.price - 30000) * b.fill.quantity
        - (abs(b.fill.price - 30000) * b.fill.fee if b.fill.fee_currency == "BTC" else 0)
        for b in result.fills
    )
    assert {p.basis for p in result.curve} == {-costs}


# Ruin


def torn(days: float = 1) -> SymbolHistory:
    """BTC whose perpetual trebles while spot stands."""
    calm, at = flat(), ms(START + days * DAY)
    return replace(
        calm,
        bars=tuple(
            replace(b, perp=b.perp * 3, mark=b.mark * 3) if b.at_ms >= at else b for b in calm.bars
        ),
    )


def test_b3_a_liquidation_ends_the_run_and_says_what_it_took() -> None:
    # A short of 10,000 loses 20,000 of 11,000 USDT.
    result = run(torn(), deposit=11_000)
    (event,) = result.liquidations
    assert event.at == START + DAY + timedelta(seconds=60)
    assert result.ended_by_liquidation
    assert result.curve[-1].at == event.at
    assert event.after < event.before
    bought = [b.fill for b in event.fills if b.fill.category.value == "linear"]
    assert {f.price for f in bought} == {Decimal(90000)}
    assert sum(f.fee for f in bought) == sum(f.quantity for f in bought) * 90000 * Decimal(
        "0.00055"
    )


def test_b3_no_leg_gains_from_a_liquidation() -> None:
    result = run(torn(), deposit=11_000)
    (event,) = result.liquidations
    fees = sum(
        b.fill.fee * (b.fill.price if b.fill.fee_currency == "BTC" else 1) for b in event.fills
    )
    # Bought at the mark, sold at the index or the bid: worth falls by the fees at least.
    assert event.before - event.after >= fees > 0


def test_b3_a_run_that_goes_on_trades_with_what_is_left() -> None:
    result = run(torn(), deposit=11_000, given=Assumptions(goes_on=True))
    assert not result.ended_by_liquidation
    assert len(result.liquidations) == 1
    assert len(result.curve) == 96
    assert result.held_at_end == {}  # two thousand are left: no pair of ten thousand is opened
    for point in result.curve:
        assert point.equity - 11_000 == point.funding - point.fees + point.basis


def test_b3_an_account_with_room_to_spare_is_left_alone() -> None:
    assert run(torn(), deposit=100_000).liquidations == []


def test_the_rules_of_every_product_state_a_half_spread() -> None:
    assert all(rule.half_spread_bps > 0 for rule in RULES.values())
