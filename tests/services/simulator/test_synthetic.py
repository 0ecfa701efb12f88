"""A market made of a seed: the same seed is the same market, and the script bends it."""

from decimal import Decimal
from itertools import islice

import pytest

from services.simulator.market import Due
from services.simulator.synthetic import Happening, Synthetic
from tests.services.simulator.builders import HOUR_MS

D = Decimal
START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC


def market(count: int = 7, seed: int = 1, *happenings: Happening) -> Synthetic:
    return Synthetic(count, seed, START_MS, 1_000, happenings)


def instants(made: Synthetic) -> list[object]:
    """Return everything a market says of itself over its first 200 moves."""
    dues = list(islice(made.timetable(START_MS, START_MS), 200))
    said: list[object] = [*dues]
    for due in dues:
        for category, symbol in due.products or ():
            bar = made.bar(symbol, due.hour_ms)
            assert bar is not None
            said += [bar, made.books(category, symbol, bar)]
    return said


def test_the_same_seed_is_the_same_market_and_another_seed_is_another() -> None:
    assert repr(instants(market())) == repr(instants(market()))
    assert repr(instants(market())) != repr(instants(market(7, 2)))


def test_a_market_asked_out_of_order_says_the_same() -> None:
    asked, fresh = market(), market()
    for at in (START_MS + 5, START_MS + 9 * HOUR_MS, START_MS - HOUR_MS):
        asked.bar("BTCUSDT", at)
    late = START_MS + HOUR_MS + 777
    assert asked.bar("BTCUSDT", late) == fresh.bar("BTCUSDT", late)


def test_prices_lie_on_the_tick_and_books_stand_around_them() -> None:
    made = market(50)
    for symbol in made.symbols:
        bar = made.bar(symbol, START_MS + 12_345)
        assert bar is not None
        for category, close in (("spot", bar.spot), ("linear", bar.perp)):
            product = made.products[category, symbol]
            bids, asks = made.books(category, symbol, bar)
            assert bids[0][0] == close - product.tick
            assert asks[0][0] == close + product.tick
            assert [p for p, _ in bids] == sorted((p for p, _ in bids), reverse=True)
            for price, qty in (*bids, *asks):
                assert price % product.tick == 0
                assert qty % product.step == 0
                assert qty > 0


def test_every_symbol_moves_once_a_step_and_settles_before_it_moves_at_the_full_hour() -> None:
    made = market(20)
    dues = [
        d for d in islice(made.timetable(START_MS, START_MS), 25) if d.at_ms <= START_MS + 1_000
    ]
    moved = [product for due in dues for product in due.products or ()]
    assert sorted(moved) == sorted(made.products)
    before = START_MS + 8 * HOUR_MS - 50
    settling, moving = islice(made.timetable(START_MS, before), 2)
    assert (settling.at_ms, settling.settles) == (START_MS + 8 * HOUR_MS, True)
    assert ("linear", "BTCUSDT") in (settling.products or ())
    assert (moving.at_ms, moving.settles) == (START_MS + 8 * HOUR_MS, False)


def test_a_restart_goes_on_with_the_move_after_the_last() -> None:
    whole = list(islice(market().timetable(START_MS, START_MS), 30))
    assert list(islice(market().timetable(START_MS, whole[9].at_ms), 20)) == whole[10:]


def test_there_is_history_before_the_start_at_the_announced_interval() -> None:
    made = market()
    paid = made.settled("BTCUSDT", START_MS)
    assert [s.at_ms for s in paid[-2:]] == [START_MS - 8 * HOUR_MS, START_MS]
    assert made.last_settlement("BTCUSDT", START_MS + 1) == paid[-1]
    assert made.next_settlement("BTCUSDT", START_MS) == (START_MS + 8 * HOUR_MS, 8)
    bars = made.closed_bars("BTCUSDT", START_MS + 10, 3)
    assert [b.at_ms for b in bars] == [START_MS - 2 * HOUR_MS, START_MS - HOUR_MS, START_MS]


@pytest.mark.fact("bybit-v5 4.3: a settlement at the bound makes the interval one hour")
def test_funding_at_the_cap_settles_hourly_until_it_is_over_and_not_on_bitcoin() -> None:
    span = START_MS + 1, START_MS + 11 * HOUR_MS
    made = market(
        7, 1, Happening("funding", "SOLUSDT", *span), Happening("funding", "BTCUSDT", *span)
    )
    hours = [h for h in range(1, 25) if made.due_settlement("SOLUSDT", START_MS + h * HOUR_MS)]
    # 08:00 settles at the cap after eight hours; then hourly up to the end, then by eights again
    assert hours == [8, 9, 10, 11, 16, 24]
    paid = [s for s in made.settled("SOLUSDT", START_MS + 11 * HOUR_MS) if s.at_ms > START_MS]
    assert [(s.rate, s.interval_hours) for s in paid[:3]] == [
        (D("0.005"), 8), (D("0.005"), 1), (D("0.005"), 1),
    ]  # fmt: skip
    assert made.estimate("SOLUSDT", START_MS + HOUR_MS) == D("0.005")
    assert made.next_settlement("SOLUSDT", START_MS + 8 * HOUR_MS) == (START_MS + 9 * HOUR_MS, 1)
    bitcoin = [h for h in range(1, 25) if made.due_settlement("BTCUSDT", START_MS + h * HOUR_MS)]
    assert bitcoin == [8, 16, 24]


def test_a_mark_spike_moves_the_mark_alone_while_it_lasts() -> None:
    spike = Happening("mark_spike", "BTCUSDT", START_MS + 10, START_MS + 20, move=D("0.2"))
    bent, plain = market(7, 1, spike), market()
    for at, moved in ((START_MS + 9, False), (START_MS + 10, True), (START_MS + 20, False)):
        bar, usual = bent.bar("BTCUSDT", at), plain.bar("BTCUSDT", at)
        assert bar is not None
        assert usual is not None
        assert (bar.spot, bar.perp) == (usual.spot, usual.perp)
        assert (bar.mark > usual.perp * D("1.19")) is moved


def test_a_delisting_is_announced_then_the_perpetual_has_no_book_and_settles_no_more() -> None:
    end = START_MS + 16 * HOUR_MS
    made = market(7, 1, Happening("delisting", "XRPUSDT", START_MS + 5, end))
    assert [made.delivery_ms("XRPUSDT", START_MS + n) for n in (4, 5)] == [0, end]
    for at, depth in ((end - 1, 5), (end, 0)):
        bar = made.bar("XRPUSDT", at)
        assert bar is not None
        assert len(made.books("linear", "XRPUSDT", bar)[0]) == depth
        assert len(made.books("spot", "XRPUSDT", bar)[0]) == 5
    assert made.due_settlement("XRPUSDT", end) is not None
    assert made.due_settlement("XRPUSDT", end + 8 * HOUR_MS) is None
    assert made.next_settlement("XRPUSDT", end + 1) == (end + 8 * HOUR_MS, 8)  # it still answers


@pytest.mark.parametrize("count", [0, 1001])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="choose from 1 to 1000"):
        market(count)


def test_a_thousand_symbols_have_a_thousand_names() -> None:
    assert len(set(market(1000).symbols)) == 1000


def test_an_event_of_an_unlisted_symbol_is_refused() -> None:
    with pytest.raises(ValueError, match="DOGEUSDT"):
        market(7, 1, Happening("mark_spike", "DOGEUSDT", 0))


def test_all_books_stand_again_where_a_restart_finds_them() -> None:
    assert market().last_move(START_MS, START_MS) is None
    assert market().last_move(START_MS, START_MS + 7) == Due(START_MS + 7, START_MS + 7, False)
