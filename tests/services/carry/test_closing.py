"""The demo's last line: whatever is not clean is named, and nothing else is."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.carry.demo.closing import Report
from shared.domain.profit import Parts

CLEAN = Report(
    counts={
        "pairs_opened": 5, "pairs_closed": 1, "settlements": 20, "orders": 12, "fills": 12,
        "adjustments": 0, "unhedged": Decimal("0.03"),
    },
    fills_venue=12,
    late_instants=(),
    late_fills=(),
    parts=Parts(Decimal("45.40"), Decimal("-20.94"), Decimal("-77.54"), slippage=Decimal(-2)),
    equity_start=Decimal(100_000),
    equity_end=Decimal("99944.92"),
    deposits=Decimal(0),
    ledger_difference={"BTC": Decimal(0), "USDT": Decimal("0E-8")},
    position_difference={"BTCUSDT": Decimal(0)},
    unhedged=(),
    unfinished=0,
)  # fmt: skip


def test_a_clean_run_has_no_failure_and_its_line_shows_plain_decimals() -> None:
    assert CLEAN.failures(undisturbed=True) == []
    line = CLEAN.line()
    assert line["pnl"] == "-55.08"
    assert line["ledger_difference"] == {"BTC": "0", "USDT": "0"}
    assert line["unhedged_seconds_max"] == 0.03


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ledger_difference": {"USDT": Decimal("0.000001")}}, "0.000001 USDT"),
        ({"position_difference": {"BTCUSDT": Decimal("-0.001")}}, "position of BTCUSDT"),
        (
            {"parts": replace(CLEAN.parts, basis=Decimal("-20.93"))},
            "the parts sum to -55.07, the profit is -55.08",
        ),
        ({"deposits": Decimal(1)}, "the profit is -56.08"),
        ({"fills_venue": 13}, "the venue has 13 fills, we 12"),
        ({"counts": {**CLEAN.counts, "adjustments": 1}}, "1 adjustments were booked"),
        ({"unfinished": 2}, "2 plans or orders have not come to an end"),
        ({"unhedged": ("ETHUSDT",)}, "ETHUSDT is not hedged"),
    ],
)
def test_what_is_not_clean_is_named_also_after_a_kill(
    change: dict[str, object], named: str
) -> None:
    found = replace(CLEAN, **change).failures(undisturbed=False)  # type: ignore[arg-type]
    assert len(found) == 1
    assert named in found[0]


def test_an_undisturbed_run_must_also_have_been_on_time() -> None:
    late = replace(
        CLEAN,
        late_instants=("2023-11-11T05:01:00+00:00",),
        late_fills=("spot fill 7 of BTCUSDT at 2023-11-11T06:01:00+00:00",),
    )
    assert late.failures(undisturbed=False) == []
    assert late.failures(undisturbed=True) == [
        "the instant 2023-11-11T05:01:00+00:00 was late",
        "spot fill 7 of BTCUSDT at 2023-11-11T06:01:00+00:00 came after the next bar",
    ]
