"""What must hold: after every event of the venue, every commit, every send, and at the end.

The venue's account is the oracle; ids are those of RELIABILITY 2.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from services.executor.audit import audit
from services.executor.headroom import ROOM_SHARE
from shared.domain.instrument import Pair
from shared.domain.order import OrderTicket, parse_client_order_id
from shared.domain.policy import ExecutionPolicy
from shared.domain.risk import RiskLimits
from tests.simulation.clock import BEGIN, wall
from tests.simulation.loop import Process
from tests.simulation.store import Store
from tests.simulation.venue import SimVenue
from tests.simulation.world import World

ZERO: Final = Decimal(0)
OURS: Final = ("residual", "kill ", "margin")
"""How ids of plans begin that no strategy wanted."""

MARGIN: Final = "margin"
"""How the reason of a plan begins that the account's margin made or refused."""

UNEVEN_BOUNDS: Final = (0.1, 0.5, 2, 5, 15, 30, 60, 120, 999)
SETTLE_SECONDS: Final = 3.25 + 0.75
"""Receive window, clock error and most of the second that a new leader waits."""

FENCED: Final = frozenset(
    {
        "execution.plan", "execution.attempt", "execution.fill", "execution.position",
        "ledger.posting_group", "ledger.entry",
    }
)  # fmt: skip
"""Tables that only the leader may write."""

POLICY: Final = ExecutionPolicy()
NO_ROOM: Final = POLICY.margin_trim * ROOM_SHARE
SKEW: Final = timedelta(seconds=0.25)

READ_OWNER: Final = "SELECT owner FROM execution.lease WHERE name = 'executor'"
READ_SENT: Final = """
    SELECT a.signed_at, a.purpose, a.created_at, a.quantity, a.state, a.updated_at, a.plan_id,
           p.target_quantity, p.pair
    FROM execution.attempt a JOIN execution.plan p ON p.id = a.plan_id WHERE a.link_id = $1"""
READ_KILL: Final = """
    SELECT coalesce(max(level), 0) AS level FROM execution.kill WHERE lifted_at IS NULL"""
SUBMITTING: Final = """
    SELECT link_id, category, side, purpose, signed_at FROM execution.attempt
    WHERE state = 'submitting' ORDER BY link_id"""
OPEN_TWICE: Final = """
    SELECT symbol, leg, count(*) AS open, string_agg(link_id, ' ' ORDER BY link_id) AS links
    FROM execution.attempt WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent')
    GROUP BY symbol, leg HAVING count(*) > 1 ORDER BY 1, 2"""


@dataclass
class Bound:
    """How far a pair may go while a plan is worked: each leg from where it stood to the target."""

    plan_id: str
    spot: Decimal
    short: Decimal


class Checks:
    """The checkers of one run."""

    def __init__(self, world: World, store: Store, venue: SimVenue, limits: RiskLimits) -> None:
        self._world = world
        self._store = store
        self._venue = venue
        self._limits = limits
        self._bounds: dict[str, Bound] = {}
        self._sent: dict[str, tuple[datetime, Decimal]] = {}
        self._owner = ""
        self._seen: set[str] = set()
        self.unhedged: list[float] = []
        self._uneven_since: dict[str, float] = {}
        self._may_send_at = 0.0
        self._lost_at = BEGIN

    def sending(self, process: Process, ticket: OrderTicket, signed_at: datetime) -> None:
        """Check an order as its first byte leaves: O2, O3, O15, and what it may add."""
        rows = self._store.fetch(READ_SENT, ticket.link_id)
        world = self._world
        if not rows:
            world.violated(f"O2: {ticket.link_id} is sent and not in the journal")
            return
        row = rows[0]
        if (row["signed_at"], row["quantity"]) != (signed_at, ticket.quantity):
            world.violated(f"O2: {ticket.link_id} is not sent as it is journaled")
        if str(process) != self._owner:  # what it signed inside its lease, the venue's window ends
            if signed_at > self._lost_at + SKEW:
                world.violated(f"O14: {process} signs while {self._owner!r} leads")
        elif world.loop.time() < self._may_send_at:
            world.violated(f"O15: {process} sends before an old send must have died")
        # Unknown: the same id once more. A fill that the stream tells once it is signed may end the
        # order before its first byte: the venue refuses a second one of that id.
        ended = row["state"] not in ("submitting", "unknown")
        if ended and row["updated_at"] <= signed_at:
            world.violated(f"O2: {ticket.link_id} is sent while {row['state']}")
        known = self._sent.get(ticket.link_id)
        if known is not None and (known[0] >= signed_at or known[1] != ticket.quantity):
            world.violated(f"O3: {ticket.link_id} is sent again as another order")
        self._sent[ticket.link_id] = (signed_at, ticket.quantity)
        self._widen(row["pair"], row["plan_id"], row["target_quantity"])

    def committed(self, process: Process, tables: tuple[str, ...]) -> None:
        """Check the journal after a commit, and that only the leader wrote it: O1, O14."""
        if "execution.lease" in tables or FENCED.intersection(tables):
            owner = self._store.fetch(READ_OWNER)[0]["owner"]
            if owner != self._owner:
                is_unclean = bool(owner and self._owner)
                self._may_send_at = self._world.loop.time() + SETTLE_SECONDS * is_unclean
                self._owner, self._lost_at = owner, wall(self._world.loop)
            if FENCED.intersection(tables) and owner != str(process):
                self._world.violated(f"O14: {process} writes {tables} while {owner!r} leads")
        if "execution.attempt" in tables:
            self._claimed()
            for row in self._store.fetch(OPEN_TWICE):
                self._world.violated(f"O1: two open attempts for one leg: {row['links']}")

    def _claimed(self) -> None:
        """Check that no order is claimed under a kill that forbids it (5.6: one transaction)."""
        for row in self._store.fetch(SUBMITTING):
            if row["link_id"] in self._seen:
                continue
            self._seen.add(row["link_id"])
            adds = (row["side"] == "Buy") == (row["category"] == "spot")
            level = self._store.fetch(READ_KILL)[0]["level"]
            severed = level >= 4 and not self._owner.startswith("watchdog")
            acquires = adds and row["purpose"] == "first"
            if acquires:
                self._has_room(row["link_id"], row["signed_at"])
            if severed or (level >= 1 and acquires):
                self._world.violated(f"5.6: {row['link_id']} is claimed under a kill of {level}")

    def _has_room(self, link_id: str, signed_at: datetime) -> None:
        """Check that its leader had heard of no rate at which nothing is acquired (F:R4)."""
        told = self._venue.margin_told.get(self._owner)
        if told is None:
            self._world.violated(f"R4: {link_id} is claimed before the margin is known")
        elif told[1] >= NO_ROOM and signed_at > told[0] + SKEW:
            self._world.violated(f"R4: {link_id} is claimed at a maintenance rate of {told[1]}")

    def moved(self) -> None:
        """Check the account after whatever happened at the venue."""
        exchange = self._venue.exchange
        for coin, amount in exchange.wallet.items():
            if amount < ZERO:
                self._world.violated(f"H10: {coin} is owed: {amount}")
        gross = ZERO
        for pair in self._venue.pairs:
            spot, short = self._held(pair)
            gross += max(spot, abs(short)) * exchange.marks[pair.name]
            bound = self._bounds.get(pair.name)
            slack = pair.common_lot + 2 * pair.spot.step
            if spot > (bound.spot if bound else ZERO) + slack:
                self._world.violated(f"O1: {pair.name} holds {spot} spot, bound {bound}")
            if short > (bound.short if bound else ZERO) + slack:
                self._world.violated(f"O1: {pair.name} is short {short}, bound {bound}")
            if short < ZERO:
                self._world.violated(f"O1: {pair.name} is long {-short}")
        self._clock_uneven()
        if gross > self._limits.gross_notional * (1 + self._limits.collar) ** 2:
            self._world.violated(f"H6: the account holds {gross}")

    def _clock_uneven(self) -> None:
        """Count how long each pair stood on one leg by the venue's account (H1), in bounds."""
        now = self._world.loop.time()
        for pair in self._venue.pairs:
            if not self.is_even(pair):
                self._uneven_since.setdefault(pair.name, now)
            elif (since := self._uneven_since.pop(pair.name, None)) is not None:
                self.unhedged.append(now - since)
                bound = next(b for b in UNEVEN_BOUNDS if now - since <= b)
                self._world.tally[f"unhedged at most {bound:>4} s"] += 1

    def is_even(self, pair: Pair) -> bool:
        """Return whether the venue's account holds the pair hedged or not at all."""
        spot, short = self._held(pair)
        residual = abs(spot - short)
        mark = self._venue.exchange.marks[pair.name]
        return residual <= pair.common_lot or residual * mark <= 5

    def end(self) -> None:
        """Check everything once it is quiet."""
        for check in (self._ledger, self._executions, self._orders, self._plans):
            check()
        found = self._store.run(audit(self._store.owner))
        if found.broken is not None:
            self._world.violated(f"M12: the chain breaks at {found.broken}")
        for difference in found.differences:
            self._world.violated(f"S12: {difference}")

    def _held(self, pair: Pair) -> tuple[Decimal, Decimal]:
        position = self._venue.exchange.positions.get(pair.name)
        spot = self._venue.exchange.wallet.get(pair.base, ZERO)
        return spot, -position.size if position else ZERO

    def _widen(self, name: str, plan_id: str, target: Decimal) -> None:
        known = self._bounds.get(name)
        if known is not None and known.plan_id == plan_id:
            return
        pair = next(p for p in self._venue.pairs if p.name == name)
        spot, short = self._held(pair)
        self._bounds[name] = Bound(plan_id, max(spot, target), max(short, target))

    def _ledger(self) -> None:
        rows = self._store.fetch(WALLET_SUMS)
        ours = {row["asset"]: row["held"] for row in rows}
        for coin in sorted({*ours, *self._venue.exchange.wallet}):
            held, theirs = ours.get(coin, ZERO), self._venue.exchange.wallet.get(coin, ZERO)
            if held != theirs:
                self._world.violated(f"M3: {coin} is {held} in our ledger, {theirs} at the venue")
        for row in self._store.fetch(OFF_BALANCE):
            self._world.violated(f"M3: {row['key']} leaves {row['ours']}, not {row['theirs']}")
        for row in self._store.fetch(UNEVEN_GROUPS):
            self._world.violated(f"M1: group {row['group_id']} does not sum to zero")
        for pair in self._venue.pairs:
            spot, short = self._held(pair)
            held = self._store.fetch(POSITION, pair.name)
            if held and (held[0]["spot_quantity"], -held[0]["perp_quantity"]) != (spot, short):
                self._world.violated(
                    f"M6: {pair.name} is {dict(held[0])}, at the venue {spot} and {-short}"
                )

    def _executions(self) -> None:
        theirs = {(e.category, e.exec_id): e.qty for e in self._venue.exchange.executions}
        ours = {(r["category"], r["exec_id"]): r["quantity"] for r in self._store.fetch(FILLS)}
        if theirs != ours:
            odd = sorted({*theirs.items()} ^ {*ours.items()})[:4]
            self._world.violated(f"M5: executions differ from our fills: {odd}")
        booked = self._store.fetch(TRADES_BOOKED)
        times = {row["exec_id"]: row["times"] for row in booked}
        for execution in self._venue.exchange.executions:
            wanted = 2 if execution.category == "spot" else 1
            if times.get(execution.exec_id) != wanted:
                self._world.violated(
                    f"M5: {execution.exec_id} is in the ledger {times.get(execution.exec_id)} times"
                )

    def _orders(self) -> None:
        attempts = {row["link_id"]: row for row in self._store.fetch(ATTEMPTS)}
        for link_id, row in sorted(attempts.items()):
            self._world.tally[f"attempt {row['state']}"] += 1
            order = self._venue.exchange.find(row["category"], link_id=link_id)
            filled = ZERO if order is None else order.filled_qty
            if row["state"] in ("absent", "rejected") and order is not None:
                self._world.violated(
                    f"O4: {link_id} is {row['state']}, at the venue {order.status}"
                )
            if row["state"] in ("filled", "cancelled") and order is None:
                self._world.violated(f"O4: {link_id} is {row['state']} and the venue never had it")
            if row["filled_quantity"] != filled or filled > row["quantity"]:
                self._world.violated(f"O1: {link_id} has {row['filled_quantity']}, venue {filled}")
        for order in self._venue.exchange.orders:
            if order.create_type == "CreateByUser" and order.link_id not in attempts:
                self._world.violated(f"K4: the venue has {order.link_id}, which is not ours")
        for link_id in sorted(self._sent):
            parse_client_order_id(link_id)

    def _plans(self) -> None:
        rows = self._store.fetch(PLANS)
        for row in rows:
            self._world.tally[f"plan {row['state']}"] += 1
            if row["reason"].startswith(MARGIN):
                self._world.tally[f"plan by {row['reason'].partition(':')[0]}"] += 1
            if row["finished_at"] is None:
                self._world.violated(f"O10: plan {row['id']} is still {row['state']}")
        planned = sorted(r["intent_id"] for r in rows if not r["intent_id"].startswith(OURS))
        wanted = sorted(row["id"] for row in self._store.fetch("SELECT id FROM strategy.intent"))
        if planned != wanted:
            odd = sorted({*planned} ^ {*wanted})
            self._world.violated(f"S2: intents without a plan, or twice: {odd}")


WALLET_SUMS: Final = """
    SELECT asset, sum(amount) AS held FROM ledger.entry WHERE account = 'wallet' GROUP BY 1"""
OFF_BALANCE: Final = """
    SELECT key, ours, theirs FROM (
        SELECT g.key, g.venue_balance AS theirs,
               sum(e.amount) OVER (PARTITION BY e.asset ORDER BY g.id) AS ours
        FROM ledger.posting_group g
        JOIN ledger.entry e ON e.group_id = g.id AND e.account = 'wallet') AS run
    WHERE ours <> theirs ORDER BY key"""

UNEVEN_GROUPS: Final = """
    SELECT group_id FROM ledger.entry GROUP BY group_id, asset HAVING sum(amount) <> 0"""
POSITION: Final = """
    SELECT spot_quantity, perp_quantity FROM execution.position WHERE pair = $1"""
FILLS: Final = "SELECT category, exec_id, quantity FROM execution.fill"
TRADES_BOOKED: Final = """
    SELECT exec_id, count(*) AS times FROM ledger.posting_group
    WHERE exec_id IS NOT NULL GROUP BY 1"""
ATTEMPTS: Final = """
    SELECT link_id, category, state, quantity, filled_quantity FROM execution.attempt"""
PLANS: Final = (
    "SELECT id, intent_id, state, reason, finished_at FROM execution.plan ORDER BY created_at, id"
)
