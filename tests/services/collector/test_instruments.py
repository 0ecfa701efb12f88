"""Which rules changed, and which pairs are proven."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.collector.instruments import GONE, InstrumentRecorder, differences
from shared.bus.messages import InstrumentChanged
from shared.domain.instrument import Category
from shared.store.instruments import read_instruments, read_pairs
from tests.services.collector.conftest import Bell, Kit
from tests.support.markets import instrument

AT = datetime(2023, 11, 11, tzinfo=UTC)
SPOT, LINEAR = Category.SPOT, Category.LINEAR


def test_a_new_product_is_listed() -> None:
    perp = instrument(LINEAR)
    assert differences({}, [perp]) == [(perp, ["listed"])]


def test_unchanged_rules_are_no_news() -> None:
    perp = instrument(LINEAR)
    assert differences({"BTCUSDT": perp}, [instrument(LINEAR)]) == []


def test_a_changed_rule_is_named() -> None:
    perp = instrument(LINEAR)
    finer = replace(perp, tick=Decimal("0.01"), status="Delivering")
    assert differences({"BTCUSDT": perp}, [finer]) == [(finer, ["status", "tick"])]


def test_a_product_that_is_no_longer_shown_is_gone() -> None:
    perp = instrument(LINEAR)
    [(gone, names)] = differences({"BTCUSDT": perp}, [])
    assert (gone.status, names) == (GONE, ["status"])
    assert not gone.is_trading
    assert differences({"BTCUSDT": gone}, []) == []


def recorder(kit: Kit, bell: Bell) -> InstrumentRecorder:
    return InstrumentRecorder(feed=kit.feed, pool=kit.pool, doorbell=bell, clock=kit.clock)


async def test_rules_are_stored_once_and_each_change_is_said_once(kit: Kit) -> None:
    kit.feed.instruments = {SPOT: [instrument(SPOT)], LINEAR: [instrument(LINEAR)]}
    rules = recorder(kit, kit.bell)
    assert await rules.refresh() == 2
    assert await rules.refresh() == 0
    kit.feed.instruments[LINEAR] = [replace(instrument(LINEAR), tick=Decimal("0.5"))]
    assert await rules.refresh() == 1

    async with kit.pool.acquire() as connection:
        stored = await read_instruments(connection, LINEAR)
    assert [i.tick for i in stored] == [Decimal("0.5")]
    said = await kit.said("market.instruments")
    assert [(m.category, m.changed) for m in said if isinstance(m, InstrumentChanged)] == [
        ("spot", ["listed"]),
        ("linear", ["listed"]),
        ("linear", ["tick"]),
    ]
    assert kit.bell.rung == 2


@pytest.mark.parametrize(
    ("closes", "proven"),
    [
        (["91"], True),
        (["109"], True),
        (["89"], False),
        (["1000"], False),
        (["111"], False),
        (["100", "99", "75"], True),  # one of them falls apart: still the same asset
        (["100", "75", "75"], False),
    ],
)
async def test_a_pair_is_proven_when_the_prices_of_most_hours_agree_within_a_tenth(
    kit: Kit, closes: list[str], proven: bool
) -> None:
    kit.feed.instruments = {SPOT: [instrument(SPOT)], LINEAR: [instrument(LINEAR)]}
    rules = recorder(kit, kit.bell)
    await rules.refresh()
    kit.feed.closes = {
        (SPOT, "BTCUSDT"): [Decimal(100)] * len(closes),
        (LINEAR, "BTCUSDT"): [Decimal(close) for close in closes],
    }
    expected = ["BTCUSDT"] if proven else []
    assert await rules.prove(["BTCUSDT"], AT) == expected
    async with kit.pool.acquire() as connection:
        assert [pair.name for pair in await read_pairs(connection)] == expected


async def test_a_pair_without_both_prices_is_not_proven(kit: Kit) -> None:
    kit.feed.instruments = {SPOT: [instrument(SPOT)], LINEAR: [instrument(LINEAR)]}
    rules = recorder(kit, kit.bell)
    await rules.refresh()
    kit.feed.closes = {(SPOT, "BTCUSDT"): [Decimal(100)]}
    assert await rules.prove(["BTCUSDT", "NOUSDT"], AT) == []
    async with kit.pool.acquire() as connection:
        assert await read_pairs(connection) == []


async def test_r10_a_pair_with_a_leg_that_is_gone_is_not_asked_for_and_not_proven(
    kit: Kit,
) -> None:
    kit.feed.instruments = {SPOT: [instrument(SPOT)], LINEAR: [instrument(LINEAR)]}
    kit.feed.closes = {(c, "BTCUSDT"): [Decimal(100)] for c in (SPOT, LINEAR)}
    rules = recorder(kit, kit.bell)
    await rules.refresh()
    assert await rules.prove(["BTCUSDT"], AT) == ["BTCUSDT"]
    assert await rules.vanished(["BTCUSDT"]) == []
    for category in (SPOT, LINEAR):
        kit.feed.instruments = {SPOT: [instrument(SPOT)], LINEAR: [instrument(LINEAR)]}
        kit.feed.instruments[category] = []
        await rules.refresh()
        assert await rules.prove(["BTCUSDT"], AT) == []
        assert await rules.vanished(["ETHUSDT", "BTCUSDT"]) == ["BTCUSDT"]
