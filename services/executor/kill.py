"""The kill switch at work: whatever stands in the table is carried out, again after every start.

Nothing is remembered of how far it came: each look begins with what rests and what is held, so a
start goes on with a kill before it does anything else (CP 18). Redis, the API and the strategy have
no part in it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from services.executor.desk import Desk
from services.executor.executor import Executor
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.lease import SEVERS, severed
from services.executor.market import wait
from services.executor.reconcile import cancel_resting
from shared.domain.errors import (
    Malformed,
    OutcomeUnknown,
    Transient,
)
from shared.domain.money import ZERO, floor_to, plain
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.kill import DOORBELL, Kill, press_kill_once, read_standing_kills
from shared.store.orders import read_doubted
from shared.store.pool import UNAVAILABLE

CANCELS: Final = 2
FLATTENS: Final = 3
NO_NEW_RISK: Final = 1
LOOK_SECONDS: Final = 1.0
FAILED_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 1.0
BY: Final = "executor"

log = structlog.get_logger()


class KillSwitch:
    """Looks at the kills that stand whenever the database rings, and every second.

    ``armed`` is set once what we hold is known. Levels 0 and 1 need nothing done: the gate reads
    them in the transaction of each order.
    """

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        executor: Executor,
        journal: Journal,
        clock: Clock,
        guard: Guard,
        unknown_max: timedelta,
        armed: asyncio.Event,
        safe_mode: bool,
    ) -> None:
        self._gateway = gateway
        self._executor = executor
        self._journal = journal
        self._clock = clock
        self._guard = guard
        self._unknown_max = unknown_max
        self._armed = armed
        self._safe_mode = safe_mode
        self._rang = asyncio.Event()
        self._known: tuple[Kill, ...] = ()
        self._aimed: dict[str, float] = {}

    async def run(self) -> None:
        """Carry out what stands, for ever; raises Misconfigured when level 4 ends this executor."""
        while True:
            try:
                async with self._listening():
                    while True:
                        self._rang.clear()
                        await self._look()
                        await wait(self._rang, LOOK_SECONDS)
            except (Transient, Malformed, OutcomeUnknown, *UNAVAILABLE) as error:
                log.warning("kill_look_failed", detail=str(error))
                await self._clock.sleep(FAILED_SECONDS)

    async def _look(self) -> None:
        kills = await self._standing()
        level = kills[0].level if kills else 0
        if level >= SEVERS and not self._safe_mode:
            raise severed(kills[0])
        if level >= CANCELS:
            await self._cancel_all()
        if level >= FLATTENS and self._armed.is_set():
            await self._flatten(kills[0])
        elif level < FLATTENS:
            self._aimed.clear()

    async def _standing(self) -> tuple[Kill, ...]:
        """Return the kills that stand, after pressing those that are due by themselves."""
        now = self._clock.now()
        async with self._journal.pool.acquire() as connection:
            if self._guard.lasts:
                said = "; ".join(self._guard.details)
                await press_kill_once(connection, NO_NEW_RISK, f"reconciliation: {said}", BY)
            if doubted := await read_doubted(connection, now - self._unknown_max):
                said = ", ".join(doubted)
                await press_kill_once(connection, NO_NEW_RISK, f"unknown: {said}", BY)
            kills = tuple(await read_standing_kills(connection))
        for kill in kills:
            if kill not in self._known:
                log.error("kill_stands", kill=kill.id, level=kill.level, reason=kill.reason)
        self._known = kills
        if kills:
            reached(CrashPoint.KILL_SEEN)
        return kills

    async def _cancel_all(self) -> None:
        """Cancel what rests, whoever placed it; the next look finds what did not go.

        What cannot be cancelled is said and holds up nothing: the closing begins beside it.
        """
        if stuck := await cancel_resting(self._gateway, strangers=True):
            await self._journal.alarm("kill_remains", f"cannot cancel {', '.join(stuck)}")

    async def _flatten(self, kill: Kill) -> None:
        """Close both legs of every pair that holds anything tradable, as any plan closes them."""
        held = [desk for desk in self._executor.desks.values() if is_tradable(desk)]
        for desk in held:
            await self._close(desk, kill)
        if not held:
            self._aimed.clear()
            if shown := await self._theirs():
                await self._journal.alarm("kill_remains", f"the venue shows {', '.join(shown)}")

    async def _close(self, desk: Desk, kill: Kill) -> None:
        """Aim at zero at once; again, saying what remains, when an earlier try has ended."""
        name, now = desk.pair.name, self._clock.monotonic()
        if name in self._aimed:
            if not self._executor.workers[name].is_idle or self._aimed[name] > now - AGAIN_SECONDS:
                return
            position = desk.position
            remains = f"spot {plain(position.spot_quantity)} perp {plain(position.perp_quantity)}"
            await self._journal.alarm("kill_remains", f"{name} {remains}", name)
        if await self._executor.aim(desk, ZERO, f"kill {kill.id}"):
            self._aimed[name] = now

    async def _theirs(self) -> Sequence[str]:
        """Return what the venue itself still shows once we hold nothing any more."""
        shown = await self._gateway.read_positions()
        return [f"{p.symbol} {plain(p.quantity)}" for p in shown if p.quantity != ZERO]

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Hear the doorbell for the time of a block."""

        def ring(*_: Any) -> None:
            self._rang.set()

        async with self._journal.pool.acquire() as connection:
            await connection.add_listener(DOORBELL, ring)
            connection.add_termination_listener(ring)
            try:
                yield
            finally:
                connection.remove_termination_listener(ring)
                if not connection.is_closed():
                    await connection.remove_listener(DOORBELL, ring)


def is_tradable(desk: Desk) -> bool:
    """Return whether anything is held that the venue would take an order for."""
    spot, perp = desk.pair.spot, desk.pair.perp
    if abs(desk.position.perp_quantity) >= perp.min_quantity:
        return True
    owned = floor_to(max(desk.position.spot_quantity, ZERO), spot.step)
    if owned < spot.min_quantity:
        return False
    return desk.price is None or owned * desk.price >= spot.min_notional
