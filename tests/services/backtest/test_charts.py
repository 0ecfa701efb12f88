"""Bars to scale: shares of a box, zero always on the axis."""

from decimal import Decimal

from services.backtest.charts import Column, chart, shades, waterfall


def column(start: float, end: float) -> Column:
    return Column("", "", "", "gain", start, end)


def test_bars_stand_on_zero_and_reach_their_share_of_a_round_axis() -> None:
    made = chart([column(0, 30), column(0, 100)])
    assert [(b.bottom, b.height) for b in made.bars] == [(0, 30), (0, 100)]
    assert made.lines == ((0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80"), (100, "100"))


def test_what_is_below_zero_hangs_from_it() -> None:
    made = chart([column(0, 75), column(0, -25)])
    # From -40 to 80 in steps of 20.
    assert made.zero == 33.333
    assert made.bars[1].top == made.zero == made.bars[0].bottom
    assert made.lines[0][1] == "−40"


def test_a_waterfall_goes_on_where_the_part_before_it_ended() -> None:
    parts = [
        ("Funding", Decimal(100), "+100", ""),
        ("Fees", Decimal(-20), "−20", ""),
        ("Borrow", Decimal(0), "0", ""),
    ]
    made = waterfall(parts, ("Net", Decimal(80), "+80", ""))
    assert [b.kind for b in made.bars] == ["gain", "loss", "none", "total"]
    assert [(b.bottom, b.top) for b in made.bars] == [(0, 100), (80, 100), (80, 80), (0, 80)]


def test_nothing_at_all_still_has_an_axis() -> None:
    made = chart([column(0, 0)])
    assert [b.height for b in made.bars] == [0]
    assert made.zero == 0


def test_the_strongest_shade_is_the_largest_value_and_nothing_has_none() -> None:
    assert shades([2.0, -4.0, None, 0.0]) == [58, 100, 0, 15]
    assert shades([0.0, None]) == [15, 0]
