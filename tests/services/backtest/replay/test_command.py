"""``carry backtest replay`` as its user runs it."""

import json
from decimal import Decimal

from typer.testing import CliRunner

from services.carry.cli import app

ASKED = [
    "backtest", "replay", "--symbols", "BTCUSDT,ETHUSDT", "--from", "2023-11-01",
    "--to", "2023-12-01", "--entry", "0.00005", "--hold", "9", "--json",
]  # fmt: skip


def test_thin_hours_fill_in_parts_and_earn_less() -> None:
    deep, thin = (
        json.loads(CliRunner().invoke(app, [*ASKED, "--depth", depth]).stdout)
        for depth in ("1000000", "500")
    )

    assert deep["partial"] == 0 < thin["partial"]
    assert deep["fills"] <= 2 * deep["orders"] < thin["fills"]
    assert Decimal(0) < Decimal(thin["funding"]) < Decimal(deep["funding"])
