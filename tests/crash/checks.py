"""What must hold once a world is quiet, read from the venue's own file and from our tables."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from services.executor.audit import audit
from tests.crash.world import World

WORTHLESS_USDT = 5
ALONE_MAX_SECONDS = 30
TERMINAL = {"filled", "cancelled", "rejected", "absent"}
ZERO = Decimal(0)


async def assert_nothing_lost_or_doubled(world: World) -> list[float]:
    """Compare both sides to the last digit; return how long one leg stood alone each time.

    ``World.quiet`` has held already: plans and attempts are over, what the outbox holds is on the
    bus, and wallet, positions, fills and log are equal, with a difference of 0.
    """
    await world.quiet()
    orders, executions = world.venue_rows("orders"), world.venue_rows("executions")
    attempts = await world.rows("SELECT * FROM execution.attempt")
    fills = await world.rows("SELECT category, exec_id FROM execution.fill")
    _assert_orders_are_ours_once(orders, attempts)
    theirs = {(e["category"], e["exec_id"]) for e in executions if e["exec_type"] == "Trade"}
    assert {(f["category"], f["exec_id"]) for f in fills} >= theirs
    assert len(fills) == len({(f["category"], f["exec_id"]) for f in fills}) == len(executions)
    await _assert_plans_got_no_more_than_they_wanted(world, attempts)
    async with world.pool.acquire() as connection:
        assert (await audit(connection)).is_clean
    assert await world.behind() == {}
    return alone(orders, await world.venue())


def _assert_orders_are_ours_once(
    orders: Iterable[Mapping[str, Any]], attempts: Iterable[Mapping[str, Any]]
) -> None:
    """One order per link id, none that no journal knows, and both sides filled the same of it."""
    counts = Counter(order["link_id"] for order in orders if order["link_id"])
    assert {link: n for link, n in counts.items() if n > 1} == {}
    filled = {o["link_id"]: Decimal(o["filled_qty"]) for o in orders}
    known = {attempt["link_id"]: attempt for attempt in attempts}
    assert set(counts) <= set(known)
    for link_id, attempt in known.items():
        assert attempt["state"] in TERMINAL
        assert attempt["filled_quantity"] == filled.get(link_id, ZERO)
        if attempt["state"] == "absent":
            assert link_id not in counts


async def _assert_plans_got_no_more_than_they_wanted(
    world: World, attempts: Iterable[Mapping[str, Any]]
) -> None:
    """What a plan bought and sold, whichever tries it took, comes to its target or to nothing."""
    net: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for attempt in attempts:
        sign = 1 if attempt["side"] == "Buy" else -1
        net[attempt["plan_id"], attempt["category"]] += sign * attempt["filled_quantity"]
    for plan in await world.rows("SELECT * FROM execution.plan"):
        gap = -plan["target_quantity"] - plan["perp_at_start"]
        traded = net[plan["id"], "linear"]
        assert abs(traded) <= abs(gap) or plan["reason"] == "residual", (plan, traded)


def alone(orders: Iterable[Mapping[str, Any]], venue: Mapping[str, Any]) -> list[float]:
    """Return, in wall seconds, each time that one leg of a pair stood without the other.

    An order's wall stamp is that of its last change, which for an order that never rests is its
    fill.
    """
    marks = {symbol: Decimal(mark) for symbol, mark in venue["prices"]["mark"].items()}
    net: dict[str, Decimal] = defaultdict(lambda: ZERO)
    since: dict[str, int] = {}
    spans = []
    for order in sorted(orders, key=lambda order: int(order["wall_ms"])):
        symbol, at = order["symbol"], int(order["wall_ms"])
        filled = Decimal(order["filled_qty"])
        base = symbol.removesuffix("USDT")
        fee = Decimal(order["fees"].get(base, "0")) if order["category"] == "spot" else ZERO
        net[symbol] += (filled if order["side"] == "Buy" else -filled) - fee
        if abs(net[symbol]) * marks[symbol] > WORTHLESS_USDT:
            since.setdefault(symbol, at)
        elif symbol in since:
            spans.append((at - since.pop(symbol)) / 1000)
    assert since == {}
    return spans
