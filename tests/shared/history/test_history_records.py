"""A history cut to a span."""

from decimal import Decimal

import pytest

from shared.history.records import Bar, History, Settlement, SymbolHistory

ONE = Decimal(1)


def history() -> History:
    bars = tuple(Bar(at, ONE, ONE, ONE) for at in (100, 200, 300))
    paid = tuple(Settlement(at, ONE, 8) for at in (50, 200))
    return History(
        {
            "SOLUSDT": SymbolHistory("SOLUSDT", bars, paid),
            "BTCUSDT": SymbolHistory("BTCUSDT", bars[2:], ()),
        }
    )


def test_a_slice_holds_its_start_and_not_its_end() -> None:
    part = history().slice(100, 300).symbols["SOLUSDT"]
    assert [bar.at_ms for bar in part.bars] == [100, 200]
    assert [settled.at_ms for settled in part.settlements] == [200]


def test_a_symbol_without_a_record_in_the_span_stays_and_is_empty() -> None:
    part = history().slice(0, 100).symbols["BTCUSDT"]
    assert part.bars == ()
    assert part.settlements == ()


def test_symbols_come_in_the_order_of_their_names() -> None:
    assert list(history().symbols) == ["BTCUSDT", "SOLUSDT"]


def test_a_history_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        history().symbols["XRPUSDT"] = SymbolHistory("XRPUSDT", (), ())  # type: ignore[index]
