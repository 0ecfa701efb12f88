"""The closing report: our books against the venue's, and the profit measured twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from asyncpg import Connection, Pool

from shared.domain.money import ZERO, plain
from shared.domain.profit import PARTS, Parts
from shared.store.books import read_pnl

BAR = timedelta(hours=1)
STABLE = "USDT"

READ_COUNTS = """
    SELECT (SELECT count(*) FROM execution.plan
            WHERE target_quantity > 0 AND perp_at_start = 0 AND state = 'hedged') AS pairs_opened,
           (SELECT count(*) FROM execution.plan
            WHERE target_quantity = 0 AND perp_at_start <> 0 AND state = 'flat') AS pairs_closed,
           (SELECT count(*) FROM ledger.posting_group WHERE kind = 'funding') AS settlements,
           (SELECT count(*) FROM execution.attempt WHERE order_id IS NOT NULL) AS orders,
           (SELECT count(*) FROM execution.fill WHERE exec_type = 'Trade') AS fills,
           (SELECT count(*) FROM ledger.posting_group WHERE kind = 'adjustment') AS adjustments,
           (SELECT coalesce(max(unhedged_seconds), 0) FROM execution.plan) AS unhedged"""
READ_LATE = "SELECT venue_at FROM strategy.late_instant ORDER BY venue_at"
READ_LATE_FILLS = """
    SELECT f.pair, f.category, f.exec_id, f.venue_at, p.decided_at
    FROM execution.fill f JOIN execution.plan p ON p.id = f.plan_id
    WHERE f.venue_at >= p.decided_at + $1::interval ORDER BY f.venue_at"""
READ_WALLET = """
    SELECT asset, sum(amount) AS amount FROM ledger.entry WHERE account = 'wallet' GROUP BY asset"""
READ_BROUGHT = """
    SELECT asset, -sum(amount) AS amount FROM ledger.entry WHERE account = $1 GROUP BY asset"""
READ_POSITIONS = "SELECT pair, perp_quantity, spot_quantity FROM execution.position"
READ_TARGETS = """
    SELECT pair, quantity, decided_at FROM strategy.intent ORDER BY decided_at, pair"""
READ_UNFINISHED = """
    SELECT (SELECT count(*) FROM execution.plan WHERE finished_at IS NULL)
         + (SELECT count(*) FROM strategy.intent i
            WHERE NOT EXISTS (SELECT 1 FROM execution.plan p WHERE p.intent_id = i.id))
         + (SELECT count(*) FROM execution.attempt
            WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent')) AS unfinished"""
READ_QUOTES = """
    SELECT category, symbol, (bid + ask) / 2 AS middle, mark, venue_at FROM market.quote_latest"""
READ_DECIDED = """
    SELECT greatest((SELECT max(decided_at) FROM strategy.decision),
                    (SELECT max(venue_at) FROM strategy.late_instant))"""
READ_BOOKED = "SELECT count(*) FROM ledger.posting_group WHERE kind <> 'opening'"


@dataclass(frozen=True, slots=True)
class Report:
    """What the run came to. Amounts are USDT."""

    counts: Mapping[str, Any]
    fills_venue: int
    late_instants: tuple[str, ...]
    late_fills: tuple[str, ...]
    parts: Parts
    equity_start: Decimal
    equity_end: Decimal
    deposits: Decimal
    ledger_difference: Mapping[str, Decimal]
    position_difference: Mapping[str, Decimal]
    unhedged: tuple[str, ...]
    unfinished: int

    @property
    def pnl(self) -> Decimal:
        """Equity at the end minus equity at the start minus what was brought in between."""
        return self.equity_end - self.equity_start - self.deposits

    def line(self) -> dict[str, Any]:
        """Return the one line the demo ends with."""
        return {
            "pairs_opened": self.counts["pairs_opened"],
            "pairs_closed": self.counts["pairs_closed"],
            "settlements_booked": self.counts["settlements"],
            "orders": self.counts["orders"],
            "fills_venue": self.fills_venue,
            "fills_booked": self.counts["fills"],
            "adjustments": self.counts["adjustments"],
            "instants_late": len(self.late_instants),
            **{name: plain(getattr(self.parts, name)) for name in PARTS},
            "pnl": plain(self.pnl),
            "equity_start": plain(self.equity_start),
            "equity_end": plain(self.equity_end),
            "ledger_difference": {a: plain(d) for a, d in self.ledger_difference.items()},
            "unhedged_seconds_max": float(self.counts["unhedged"]),
        }

    def failures(self, *, undisturbed: bool) -> list[str]:
        """Return why the run is not clean; an undisturbed run must also have been on time."""
        found = [
            f"the ledger differs from the venue by {plain(d)} {a}"
            for a, d in self.ledger_difference.items()
            if d != ZERO
        ]
        found += [
            f"the position of {s} differs from the venue by {plain(d)}"
            for s, d in self.position_difference.items()
            if d != ZERO
        ]
        if self.parts.net != self.pnl:
            net = plain(self.parts.net)
            found.append(f"the parts sum to {net}, the profit is {plain(self.pnl)}")
        if self.fills_venue != self.counts["fills"]:
            found.append(f"the venue has {self.fills_venue} fills, we {self.counts['fills']}")
        if self.counts["adjustments"]:
            found.append(f"{self.counts['adjustments']} adjustments were booked")
        if self.unfinished:
            found.append(f"{self.unfinished} plans or orders have not come to an end")
        found += [f"{pair} is not hedged" for pair in self.unhedged]
        if undisturbed:
            found += [f"the instant {at} was late" for at in self.late_instants]
            found += [f"{fill} came after the next bar" for fill in self.late_fills]
        return found


async def is_quiet(pool: Pool, state: Mapping[str, Any]) -> bool:
    """Return whether everything that the venue said has been taken in and acted upon.

    That is: its newest prices are stored and decided upon, no plan or order is in flight, and the
    ledger has read the venue's log to its end.
    """
    async with pool.acquire() as connection:
        unfinished = await connection.fetchval(READ_UNFINISHED)
        booked = await connection.fetchval(READ_BOOKED)
        quotes = await connection.fetch(READ_QUOTES)
        decided_at = await connection.fetchval(READ_DECIDED)
    spot = {r["symbol"]: r["middle"] for r in quotes if r["category"] == "spot"}
    mark = {r["symbol"]: r["mark"] for r in quotes if r["category"] == "linear"}
    newest = max((r["venue_at"] for r in quotes), default=None)
    return bool(
        unfinished == 0
        and booked == state["counts"]["log"] - len(state["deposits"])
        and spot == _decimals(state["prices"]["spot"])
        and mark == _decimals(state["prices"]["mark"])
        and (newest is None or (decided_at is not None and decided_at >= newest))
    )


async def compare(pool: Pool, state: Mapping[str, Any]) -> Report:
    """Return the report of a run that has come to rest; ``state`` is the simulator's own books."""
    async with pool.acquire() as connection:
        counts = await connection.fetchrow(READ_COUNTS)
        pnl = (await read_pnl(connection)).total
        wallet = await _amounts(connection, READ_WALLET)
        opening = await _amounts(connection, READ_BROUGHT, "opening")
        external = await _amounts(connection, READ_BROUGHT, "external")
        late = [r["venue_at"].isoformat() for r in await connection.fetch(READ_LATE)]
        late_fills = [
            f"{r['category']} fill {r['exec_id']} of {r['pair']} at {r['venue_at'].isoformat()}"
            for r in await connection.fetch(READ_LATE_FILLS, BAR)
        ]
        positions = await connection.fetch(READ_POSITIONS)
        unfinished = await connection.fetchval(READ_UNFINISHED)
    venue_wallet = _decimals(state["wallet"])
    venue_sizes = {s: Decimal(p["size"]) for s, p in state["positions"].items()}
    coins = sorted({*wallet, *venue_wallet})
    booked = {r["pair"]: r["perp_quantity"] for r in positions}
    symbols = sorted({*booked, *venue_sizes})
    return Report(
        counts=dict(counts),
        fills_venue=state["counts"]["executions"],
        late_instants=tuple(late),
        late_fills=tuple(late_fills),
        parts=pnl,
        equity_start=_value(opening, state),
        equity_end=_value(venue_wallet, state) + _unrealized(state),
        deposits=_value(external, state),
        ledger_difference={c: wallet.get(c, ZERO) - venue_wallet.get(c, ZERO) for c in coins},
        position_difference={s: booked.get(s, ZERO) - venue_sizes.get(s, ZERO) for s in symbols},
        unhedged=tuple(_unhedged(positions, state)),
        unfinished=unfinished,
    )


async def read_targets(pool: Pool) -> list[dict[str, str]]:
    """Return every target said, in the order of its venue instant: what the back-test must say."""
    async with pool.acquire() as connection:
        return [
            {
                "pair": r["pair"],
                "quantity": plain(r["quantity"]),
                "decided_at": r["decided_at"].isoformat(),
            }
            for r in await connection.fetch(READ_TARGETS)
        ]


def _decimals(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}


async def _amounts(connection: Connection, query: str, *values: str) -> dict[str, Decimal]:
    return {r["asset"]: r["amount"] for r in await connection.fetch(query, *values)}


def _value(amounts: Mapping[str, Decimal], state: Mapping[str, Any]) -> Decimal:
    """Return coins in USDT, at the spot mid prices the venue stands at."""
    prices = state["prices"]["spot"]
    return sum(
        (a if c == STABLE else a * Decimal(prices[f"{c}{STABLE}"]) for c, a in amounts.items()),
        ZERO,
    )


def _unrealized(state: Mapping[str, Any]) -> Decimal:
    marks = state["prices"]["mark"]
    return sum(
        (
            Decimal(p["size"]) * Decimal(marks[s]) - Decimal(p["entry_value"])
            for s, p in state["positions"].items()
        ),
        ZERO,
    )


def _unhedged(positions: list[Any], state: Mapping[str, Any]) -> list[str]:
    """Return the pairs whose residual is worth more than 5 USDT."""
    marks = state["prices"]["mark"]
    return [
        r["pair"]
        for r in positions
        if abs(r["spot_quantity"] + r["perp_quantity"]) * Decimal(marks[r["pair"]]) > 5
    ]
