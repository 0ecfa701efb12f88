"""F:R4 and trap 38: what a live executor does as its account nears liquidation.

The account of the ramps: 12,000 USDT, one bitcoin hedged at 10,000 of which the coin backs a fifth;
the short binds 5 % of its worth. At a price of 10,000 x it is backed by 11,984 - 8,000 x.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest

from services.executor.headroom import Headroom
from services.executor.margin import MarginWatch, Trimmable, cuts
from services.executor.metrics import ExecutorMetrics
from shared.domain.policy import ExecutionPolicy
from shared.exchange.ports import MarginRates
from shared.runtime.clock import Clock
from shared.store.pool import WritePool
from shared.venue.enforcement import enforce_margin
from shared.venue.exchange import Exchange
from shared.venue.margin import CollateralTier
from tests.support.clock import ManualClock
from tests.support.executor import MS, Rig, books, rule, running, venue
from tests.support.fake_gateway import FakeGateway, lost
from tests.support.markets import INSTANT, pair

SETTLED = 0.15  # the rig's venue is read anew after 0.1 s
RAMP = (13_000, 13_600, 14_800, 15_600, 17_000)


def tight_venue() -> Exchange:
    rules = [rule("spot"), replace(rule("linear"), maintenance_rate=Decimal("0.05"))]
    fifth = {"BTC": [CollateralTier(None, Decimal("0.2"))]}
    exchange = Exchange(rules, {"USDT": Decimal(12_000)}, MS, fifth)
    rises(exchange, 10_000)
    return exchange


def rises(exchange: Exchange, price: int) -> None:
    """Set mark, index and books around ``price``."""
    mid = Decimal(price)
    exchange.set_mark("BTCUSDT", mid, mid)
    for category in ("spot", "linear"):
        books(exchange, category, bid=str(mid - Decimal("0.5")), ask=str(mid + Decimal("0.5")))
    exchange.drain()


@asynccontextmanager
async def looking(
    pool: WritePool,
    exchange: Exchange,
    gateway: FakeGateway | None = None,
    *,
    owner: str = "one",
    release: bool = True,
) -> AsyncIterator[Rig]:
    """An armed executor that has read its margin once and looks again when the test says so."""
    async with running(pool, exchange, gateway, owner=owner, release=release) as rig:
        loop = rig.tasks[rig.parts.loops.index(rig.parts.margin.run)]
        await rig.parts.margin.look()
        loop.cancel()
        await asyncio.wait({loop})
        yield rig


async def look(rig: Rig) -> None:
    """Look at the margin twice: what is held has to have stood for a while."""
    await rig.parts.margin.look()
    await asyncio.sleep(SETTLED)
    await rig.parts.margin.look()


async def opened(rig: Rig, *bases: str) -> None:
    for base in bases or ("BTC",):
        await rig.want("1", base)
    await rig.finished(len(bases) or 1)


def held(rig: Rig, base: str = "BTC") -> Decimal:
    return rig.parts.executor.desks[f"{base}USDT"].held


async def told(rig: Rig) -> list[tuple[str, str]]:
    """Return the alarms of the margin as they came: name and detail."""
    rows = await rig.rows(
        "SELECT convert_from(body, 'UTF8')::jsonb AS said FROM ops.outbox "
        "WHERE convert_from(body, 'UTF8')::jsonb ->> 'name' LIKE 'margin%' ORDER BY sequence"
    )
    said = [row["said"] for row in rows]
    parsed = [msgspec.json.decode(str(body)) for body in said]
    return [(body["name"], body["detail"]) for body in parsed]


async def test_a_ramp_liquidates_who_only_is_hedged(pool: WritePool) -> None:
    exchange = tight_venue()
    async with looking(pool, exchange) as rig:
        await opened(rig)
    acted = []
    for price in RAMP:
        rises(exchange, price)
        acted.append(enforce_margin(exchange))
    # 650 of 1,584 and 680 of 1,104 are bound, then 740 of 144.
    assert acted[:3] == [False, False, True]


async def test_trap_38_r4_on_a_rising_price_both_legs_are_trimmed_and_nothing_is_liquidated(
    pool: WritePool,
) -> None:
    exchange = tight_venue()
    async with looking(pool, exchange) as rig:
        await opened(rig)
        quantities = []
        for price in RAMP:
            rises(exchange, price)
            rig.quote()
            assert not enforce_margin(exchange)
            await look(rig)
            await rig.finished(1)
            quantities.append(str(held(rig)))
        # 680 of 1,103.48: 680 - 0.54 x 1,103.48 = 84.12 less, 680 a bitcoin, in lots of 0.001.
        # 683.28 of 1,047.29: 117.74 less, 780 a bitcoin.
        assert quantities == ["1.000", "0.876", "0.876", "0.725", "0.725"]
        position = rig.parts.executor.desks["BTCUSDT"].position
        assert position.perp_quantity == exchange.positions["BTCUSDT"].size == Decimal("-0.725")
        assert position.net_delta < Decimal("0.001")
        plans = await rig.finished(3)
        assert [(p["reason"], p["state"]) for p in plans[1:]] == [("margin", "hedged")] * 2
        assert {name for name, _ in await told(rig)} == {"margin_trimmed"}
        assert await rig.rows("SELECT 1 FROM execution.kill") == []
        assert await rig.ledger_difference() == {}


async def test_r4_what_trimming_cannot_free_is_asked_of_a_person_after_it(pool: WritePool) -> None:
    async with looking(pool, venue()) as rig:
        await opened(rig)
        # 700 of 1,000 are bound, 100 of them by our bitcoin, the rest by somebody else's positions.
        rig.gateway.margin = MarginRates(Decimal("0.7"), None, Decimal(1_000))
        await look(rig)
        plans = await rig.finished(2)
        assert plans[1]["state"] == "flat"
        # At 0.54 they ask for 1,296.30; giving up 100 is worth 185.19 of the 296.30.
        why = "maintenance rate 0.7, the trim line is 0.6"
        assert await told(rig) == [
            ("margin_trimmed", f"{why}: trims 1 BTC, 0 are left"),
            ("margin_short", f"{why}: 111.11 USD are missing beyond what can be trimmed"),
        ]


async def test_what_binds_most_is_trimmed_first_and_no_more_than_it_takes(pool: WritePool) -> None:
    exchange = venue("BTC", "ETH")
    async with looking(pool, exchange) as rig:
        await opened(rig, "BTC", "ETH")
        exchange.rules["linear", "ETHUSDT"] = replace(
            exchange.rules["linear", "ETHUSDT"], maintenance_rate=Decimal("0.02")
        )
        # 650 of 1,000: 110 have to go, and an ether binds 200. All else is somebody else's.
        rig.gateway.margin = MarginRates(Decimal("0.65"), None, Decimal(1_000))
        rig.gateway.before.append(lost)
        await look(rig)
        await rig.parts.margin.look()  # it is on its way: not a second time
        plans = await rig.finished(3)
        assert [(p["pair"], p["target_quantity"]) for p in plans[2:]] == [
            ("ETHUSDT", Decimal("0.450"))
        ]
        assert (held(rig), held(rig, "ETH")) == (Decimal(1), Decimal("0.45"))


def test_a_rest_too_small_to_be_traded_goes_with_what_is_trimmed() -> None:
    desk = SimpleNamespace(pair=pair())
    quantity, least = Decimal("0.010"), Decimal("0.002")  # a bitcoin binds 100
    held = [Trimmable(desk, quantity, Decimal(100), least, True)]  # type: ignore[arg-type]
    assert list(cuts(held, Decimal("0.0099"))) == []
    wanted = {"0.01": "0.002", "0.31": "0.004", "0.8": "0.008", "0.81": "0.010", "9": "0.010"}
    for amount, cut in wanted.items():
        assert [str(q) for _, q in cuts(held, Decimal(amount))] == [cut]
    assert list(cuts(held, Decimal(0))) == []
    small = replace(held[0], quantity=Decimal("0.001"))
    assert [str(q) for _, q in cuts([small], Decimal(1))] == ["0.001"]
    assert list(cuts([replace(small, is_tradable=False)], Decimal(1))) == []


@pytest.mark.parametrize(
    ("price", "left", "said"),
    [
        # 0.001 at 9,980 is 9.98 USD: too little to halve, but the venue takes orders of 5.
        (9_980, "0", [("margin_trimmed", "trims 0.001 BTC, 0 are left")]),
        (5_501, "0", [("margin_trimmed", "trims 0.001 BTC, 0 are left")]),
        # At 5,499 its band might leave the sale worth less than 5: 700 / 0.54 - 1,000.
        (5_499, "0.001", [("margin_short", "296.30 USD are missing beyond what can be trimmed")]),
    ],
)
async def test_the_smallest_pair_is_closed_whole_and_dust_is_told_of(
    pool: WritePool, price: int, left: str, said: list[tuple[str, str]]
) -> None:
    exchange = venue()
    async with looking(pool, exchange) as rig:
        await rig.want("0.001")
        await rig.finished(1)
        rises(exchange, price)
        rig.quote()
        rig.gateway.margin = MarginRates(Decimal("0.7"), None, Decimal(1_000))
        await look(rig)
        await rig.until(lambda: rig.parts.executor.is_idle)
        assert held(rig) == Decimal(left)
        heard = [(name, detail.partition(": ")[2]) for name, detail in await told(rig)]
        assert heard[:1] == said


@pytest.mark.parametrize(("rate", "trims"), [("0.5999", 0), ("0.6", 1)])
async def test_it_is_trimmed_from_the_line_on(pool: WritePool, rate: str, trims: int) -> None:
    async with looking(pool, venue()) as rig:
        await opened(rig)
        rig.gateway.margin = MarginRates(Decimal(rate), None, Decimal(1_000))
        await look(rig)
        assert len(await rig.finished(1 + trims)) == 1 + trims


@pytest.mark.parametrize(
    ("rate", "outcome", "reason"),
    [
        ("0.4799", "hedged", "worth_opening"),
        ("0.48", "refused", "margin_rate: maintenance rate 0.48, 0.48 allowed"),
    ],
)
async def test_nothing_is_acquired_a_little_below_the_line_already(
    pool: WritePool, rate: str, outcome: str, reason: str
) -> None:
    async with looking(pool, venue()) as rig:
        rig.gateway.margin = MarginRates(Decimal(rate), None, Decimal(1_000))
        await rig.parts.margin.look()
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert (plan["state"], plan["reason"]) == (outcome, reason)


async def test_what_was_trimmed_is_not_bought_back_and_a_close_goes_on(pool: WritePool) -> None:
    async with looking(pool, venue()) as rig:
        await opened(rig)
        rig.gateway.margin = MarginRates(Decimal("0.6"), None, Decimal(1_000))
        await look(rig)  # 60 of our 100 have to go
        await rig.finished(2)
        assert held(rig) == Decimal("0.4")
        rig.quote(INSTANT + timedelta(minutes=1))
        await rig.want("1", minutes=1)
        plans = await rig.finished(3)
        assert str(plans[2]["reason"]).startswith("margin_rate: ")
        await rig.want("0", minutes=1)
        await rig.finished(4)
        assert held(rig) == 0


async def test_past_the_margin_line_all_is_closed_by_one_kill(pool: WritePool) -> None:
    async with looking(pool, venue()) as rig:
        await opened(rig)
        rig.gateway.margin = MarginRates(Decimal("0.8"), None, Decimal(1_000))
        await look(rig)
        await rig.finished(2)
        await look(rig)
        kills = await rig.rows("SELECT level, reason, pressed_by FROM execution.kill")
        said = "margin: maintenance rate 0.8, the line is 0.8"
        assert kills == [{"level": 3, "reason": said, "pressed_by": "executor"}]
        assert held(rig) == 0
        assert await told(rig) == []


async def test_a_start_goes_on_where_a_trim_was_cut_short(pool: WritePool) -> None:
    exchange = tight_venue()
    gateway = FakeGateway(exchange)
    async with looking(pool, exchange, gateway, release=False) as rig:
        await opened(rig)
        rises(exchange, 13_600)
        rig.quote()
        await look(rig)
        await gateway.sent(3)  # 0.124 of the coin are sold, nothing of the short bought back
    rises(exchange, 14_400)
    async with looking(pool, exchange, gateway, owner="two") as rig:
        await rig.until(lambda: rig.parts.executor.is_idle)
        await rig.until(lambda: held(rig) == Decimal("0.876"))
        await look(rig)
        await rig.until(lambda: rig.parts.executor.is_idle)
        assert held(rig) == Decimal("0.876")  # 631 of 1,890 are bound: no more has to go
        assert exchange.positions["BTCUSDT"].size == Decimal("-0.876")
        await rig.parts.bookkeeper.read()
        assert await rig.ledger_difference() == {}


async def test_a_start_trims_what_nobody_had_begun_to_trim(pool: WritePool) -> None:
    exchange = tight_venue()
    gateway = FakeGateway(exchange)
    async with looking(pool, exchange, gateway) as rig:
        await opened(rig)
    rises(exchange, 13_600)
    async with looking(pool, exchange, gateway, owner="two") as rig:
        await look(rig)
        await rig.until(lambda: held(rig) == Decimal("0.876"))
        await rig.until(lambda: rig.parts.executor.is_idle)


@pytest.mark.parametrize(("rate", "kills"), [("0.79", 0), ("0.8", 1)])
async def test_a_rate_without_a_balance_trims_nothing_and_closes_past_the_line(
    pool: WritePool, rate: str, kills: int
) -> None:
    async with looking(pool, venue()) as rig:
        await opened(rig)
        rig.gateway.margin = MarginRates(Decimal(rate), None, None)
        await look(rig)
        assert len(await rig.finished(1 + kills)) == 1 + kills
        assert len(await rig.rows("SELECT 1 FROM execution.kill")) == kills
        assert (await told(rig) == []) is bool(kills)


@pytest.mark.parametrize("said", [None, MarginRates(None, None, None)])
async def test_trap_35_a_margin_that_is_not_told_moves_nothing_and_is_alarmed_after_a_minute(
    pool: WritePool, said: MarginRates | None
) -> None:
    clock = ManualClock()
    async with looking(pool, venue()) as rig:
        await opened(rig)
        metrics = ExecutorMetrics()
        headroom = Headroom(Decimal("0.6"), clock, metrics)
        watch = watching(rig, headroom, clock)
        await watch.look()
        assert headroom.forbids() is None
        rig.gateway.margin = said
        rig.gateway.is_reachable = said is not None
        await clock.advance(59.9)
        await watch.look()
        assert await told(rig) == []
        shown = metrics.registry.registry.get_sample_value("carry_executor_maintenance_ratio")
        assert str(shown) == "nan"
        await clock.advance(0.1)
        await watch.look()
        assert [name for name, _ in await told(rig)] == ["margin_unread"]
        assert len(await rig.finished(1, idle=False)) == 1
        assert await rig.rows("SELECT 1 FROM execution.kill") == []


def watching(rig: Rig, headroom: Headroom, clock: Clock) -> MarginWatch:
    journal = rig.parts.journal
    return MarginWatch(
        rig.gateway,
        executor=rig.parts.executor,
        headroom=headroom,
        armed=rig.parts.reconciler.armed,
        journal=journal,
        clock=clock,
        policy=ExecutionPolicy(),
        settle_seconds=0.0,
    )


async def test_a_margin_that_is_not_known_or_half_a_minute_old_forbids_to_acquire() -> None:
    clock = ManualClock()
    headroom = Headroom(Decimal("0.6"), clock, ExecutorMetrics())
    assert headroom.forbids() == "the account's margin is not known"
    headroom.read(Decimal("0.1"), Decimal(1_000))
    await clock.advance(30)
    assert headroom.forbids() is None
    await clock.advance(0.1)
    assert headroom.forbids() == "the account's margin was not read for 30 s"


def test_the_rate_and_what_is_left_are_shown() -> None:
    metrics = ExecutorMetrics()
    Headroom(Decimal("0.6"), ManualClock(), metrics).read(Decimal("0.25"), Decimal(2_000))
    shown = metrics.registry.registry.get_sample_value
    assert shown("carry_executor_maintenance_ratio") == 0.25
    assert shown("carry_executor_headroom_usdt") == 1_500  # 2,000 less the 500 that are bound
