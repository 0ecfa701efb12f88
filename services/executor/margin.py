"""Acts before the venue does: trims both legs as the account nears its liquidation (F:R4).

Hedged is not margin-neutral: what the spot gains is locked in the coin, what the perpetual loses is
owed at once. Judged anew at each look from the account itself, so a start goes on where it stands.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog

from services.executor.desk import Desk
from services.executor.executor import Executor
from services.executor.headroom import Headroom, shown
from services.executor.journal import Journal
from services.executor.kill import BY, FLATTENS
from services.executor.watchdog import must_flatten
from shared.domain.errors import Malformed, Rejected, Transient
from shared.domain.margin import MarginAction, margin_actions
from shared.domain.money import ZERO, ceil_to, plain, ratio
from shared.domain.policy import ExecutionPolicy
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.store.kill import press_kill_once, read_standing_kills
from shared.store.pool import WritePool

LOOK_SECONDS: Final = 3.0
UNREAD_SECONDS: Final = 60.0
TRIM_SHARE: Final = Decimal("0.9")
"""Of the trim line: how far it is trimmed down, so that the next tick does not trim again."""
PART_ROOM: Final = Decimal(2)
"""Of the least notional: what a part is worth, so that a fall of prices leaves no dust."""
ALL_ROOM: Final = Decimal("1.1")
"""Of the least notional: what all of a pair must be worth to be closed, as wide as the bands go."""
CENT: Final = Decimal("0.01")

log = structlog.get_logger()


class MarginLine:
    """Presses the kill switch at level 3 once the account nears its liquidation.

    So the pairs are closed by the same hands as ever, and stay closed until a person has looked.
    """

    def __init__(self, gateway: TradingGateway, pool: WritePool, line: Decimal, by: str) -> None:
        self._gateway = gateway
        self._pool = pool
        self._line = line
        self._by = by

    async def is_passed(self) -> bool:
        """Return whether pairs are to be closed; a margin that cannot be read closes none."""
        try:
            rate = (await self._gateway.read_margin()).maintenance
        except (Transient, Malformed) as error:
            log.warning("margin_not_read", detail=str(error))
            rate = None
        return await self.is_passed_at(rate)

    async def is_passed_at(self, rate: Decimal | None) -> bool:
        """Return whether a kill that closes them stands or, at ``rate``, is pressed now."""
        async with self._pool.acquire() as connection:
            kills = await read_standing_kills(connection)
            level = max((kill.level for kill in kills), default=0)
            is_due = must_flatten(level, rate, self._line)
            if is_due and level < FLATTENS:
                said = f"margin: maintenance rate {rate}, the line is {self._line}"
                await press_kill_once(connection, FLATTENS, said, self._by)
        return is_due


@dataclass(frozen=True, slots=True)
class Trimmable:
    """What a pair will hold once its plan is through, base units, and what a unit of it binds.

    ``least`` is the smallest part that is traded or left. All of it may go at once where it
    ``is_tradable``, also when it is less.
    """

    desk: Desk
    quantity: Decimal
    bound: Decimal
    least: Decimal
    is_tradable: bool

    @property
    def maintenance(self) -> Decimal:
        """What giving up all of it frees, USD."""
        return self.quantity * self.bound


class MarginWatch:
    """Reads the account's margin every few seconds; once ``armed`` it acts on what it read.

    Nothing can be added: in a unified account all cash backs every position already. Funds can be
    moved in by a person alone: a key that may transfer is refused. So both legs are trimmed, and
    what trimming cannot free is named in an alarm. A margin that cannot be read moves nothing.
    """

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        executor: Executor,
        headroom: Headroom,
        armed: asyncio.Event,
        journal: Journal,
        clock: Clock,
        policy: ExecutionPolicy,
        settle_seconds: float,
    ) -> None:
        self._gateway = gateway
        self._executor = executor
        self._headroom = headroom
        self._armed = armed
        self._journal = journal
        self._clock = clock
        self._trim_line = policy.margin_trim
        self._line = MarginLine(gateway, journal.pool, policy.margin_line, BY)
        self._settle_seconds = settle_seconds
        self._held: Mapping[str, Decimal] = {}
        self._held_since = 0.0

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read the margin and do what it asks for."""
        try:
            rates = await self._gateway.read_margin()
        except (Transient, Malformed, Rejected) as error:
            await self._unread(str(error))
            return
        rate, balance = rates.maintenance, rates.balance
        if rate is None:
            await self._unread("the venue names no rate")
            return
        self._headroom.read(rate, balance)
        is_settled = self._is_settled()
        if not self._armed.is_set() or rate < self._trim_line:
            return
        if not await self._line.is_passed_at(rate) and is_settled:
            if balance is None or balance <= ZERO:
                await self._journal.alarm("margin_short", f"{shown(rate)} of an unknown balance")
            else:
                await self._relieve(rate, balance)

    async def _unread(self, why: str) -> None:
        self._headroom.unread()
        log.warning("margin_not_read", detail=why)
        if self._armed.is_set() and self._headroom.unread_seconds >= UNREAD_SECONDS:
            await self._journal.alarm("margin_unread", why)

    def _is_settled(self) -> bool:
        """Whether what is held has stood so long that the venue's numbers are of it."""
        held = {name: desk.held for name, desk in self._executor.desks.items()}
        now = self._clock.monotonic()
        if held != self._held:
            self._held, self._held_since = held, now
        return now - self._held_since >= self._settle_seconds

    async def _relieve(self, rate: Decimal, balance: Decimal) -> None:
        """Do what brings the rate under the line again, in the order of R4."""
        try:
            shown_positions = await self._gateway.read_positions()
        except (Transient, Malformed, Rejected) as error:
            log.warning("positions_not_read", detail=str(error))
            return
        bound = {
            p.symbol: ratio(p.maintenance, abs(p.quantity))
            for p in shown_positions
            if p.maintenance is not None and p.quantity != ZERO
        }
        held = list(self._trimmable(bound))
        on_its_way = sum((t.desk.held * t.bound - t.maintenance for t in held), ZERO)
        asked = ratio(rate * balance, self._trim_line * TRIM_SHARE)
        actions = margin_actions(
            balance=balance,
            maintenance=rate * balance - on_its_way,
            rate_max=self._trim_line * TRIM_SHARE,
            spare=ZERO,
            trim_most=sum((t.maintenance for t in held if t.is_tradable), ZERO),
            elsewhere=asked,
        )
        for action, amount in actions:
            said = f"maintenance rate {shown(rate)}, the trim line is {plain(self._trim_line)}"
            if action is MarginAction.TRIM_BOTH_LEGS:
                await self._trim(held, amount, said)
            elif action is MarginAction.MOVE_FUNDS and amount >= CENT:
                missing = f"{amount:.2f} USD are missing beyond what can be trimmed"
                await self._journal.alarm("margin_short", f"{said}: {missing}")

    def _trimmable(self, bound: Mapping[str, Decimal]) -> Iterator[Trimmable]:
        """Yield what can still be given up, of every pair whose price and margin are known."""
        for name, desk in self._executor.desks.items():
            price, unit = desk.price, bound.get(desk.pair.perp.symbol, ZERO)
            if price is None or unit <= ZERO:
                continue
            aimed = self._executor.workers[name].target
            quantity = desk.held if aimed is None else min(desk.held, max(aimed, ZERO))
            is_tradable = quantity >= least_traded(desk, price, ALL_ROOM)
            yield Trimmable(desk, quantity, unit, least_traded(desk, price, PART_ROOM), is_tradable)

    async def _trim(self, held: Sequence[Trimmable], amount: Decimal, said: str) -> None:
        for trimmed, quantity in cuts(held, amount):
            desk, left = trimmed.desk, trimmed.quantity - quantity
            detail = f"{said}: trims {plain(quantity)} {desk.pair.base}, {plain(left)} are left"
            if await self._executor.aim(desk, left, "margin"):
                await self._journal.alarm("margin_trimmed", detail, desk.pair.name)


def cuts(held: Sequence[Trimmable], amount: Decimal) -> Iterator[tuple[Trimmable, Decimal]]:
    """Yield what to give up of which pair, base units, to free ``amount``, USD of maintenance.

    What binds most goes first, in whole lots, and no more than it takes; what would be left too
    small to be traded goes with it.
    """
    for each in sorted(held, key=lambda t: (-t.maintenance, t.desk.pair.name)):
        if amount < CENT:  # what rounding leaves
            return
        if not each.is_tradable:
            continue
        wanted = ceil_to(ratio(amount, each.bound), each.desk.pair.common_lot)
        quantity = max(wanted, each.least)
        if each.quantity - quantity < each.least:
            quantity = each.quantity
        yield each, quantity
        amount -= quantity * each.bound


def least_traded(desk: Desk, price: Decimal, room: Decimal) -> Decimal:
    """Return the smallest quantity of both legs that is worth ``room`` times what either needs."""
    pair, lot = desk.pair, desk.pair.common_lot
    notional = max(pair.spot.min_notional, pair.perp.min_notional)
    least = max(pair.spot.min_quantity, pair.perp.min_quantity, ratio(room * notional, price))
    return ceil_to(least, lot)
