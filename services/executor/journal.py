"""Every write of the executor, fenced by its lease; a lost lease stops the process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

import structlog
from asyncpg import Connection, IntegrityConstraintViolationError
from prometheus_client import Counter

from services.executor.lease import Lease
from shared.bus.messages import AlarmRaised, ExecutionEvent, PlanFinished, PlanStarted
from shared.bus.outbox import enqueue
from shared.bus.streams import EXECUTION_EVENTS
from shared.domain.errors import InvariantViolation
from shared.domain.execution import Mode
from shared.domain.instrument import Pair
from shared.domain.position import PairPosition, PairState
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.kill import press_kill_once
from shared.store.orders import answer_attempt, resend_attempt
from shared.store.plans import PlanRow, begin_plan, finish_plan
from shared.store.pool import WritePool
from shared.store.positions import end_position, start_position

NOTE_ROUTE = "UPDATE execution.plan SET mode = $2, mode_reason = $3 WHERE id = $1"
WATCHDOG_LIVES = """
    SELECT EXISTS (SELECT 1 FROM ops.heartbeat WHERE service = 'watchdog' AND ready
                   AND seen_at > $1)"""
WATCHDOG_SECONDS = 5.0
ALARM_AGAIN_SECONDS = 60.0

log = structlog.get_logger()


class Doorbell(Protocol):
    """Wakes whoever publishes what a transaction left in the outbox."""

    def notify(self) -> None:
        """Say that something was committed."""


class Journal:
    """Plans, attempts and alarms, each step one transaction under our epoch."""

    def __init__(
        self,
        pool: WritePool,
        lease: Lease,
        doorbell: Doorbell,
        clock: Clock,
        alarms: Counter,
    ) -> None:
        self.pool = pool
        self.lease = lease
        self._doorbell = doorbell
        self._clock = clock
        self._alarms = alarms
        self._alarmed: dict[tuple[str, str | None], float] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection in a transaction that holds our epoch; ring the bell afterwards."""
        async with self.connection() as connection, connection.transaction():
            await self.lease.require(connection)
            yield connection
        self._doorbell.notify()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection; what breaks a rule of the database's forbids new risk and halts us.

        Raises: InvariantViolation, as for a transition that the table does not know (O12).
        """
        try:
            async with self.pool.acquire() as connection:
                yield connection
        except IntegrityConstraintViolationError as error:
            async with self.pool.acquire() as connection:
                await press_kill_once(connection, 1, f"illegal: {error}", "executor")
            raise InvariantViolation(str(error)) from error

    async def say(self, connection: Connection, events: Sequence[ExecutionEvent]) -> None:
        """Put events into the outbox of the caller's transaction."""
        if events:
            await enqueue(connection, EXECUTION_EVENTS, events)

    async def watchdog_lives(self) -> bool:
        """Return whether a watchdog has given a sign of life within five seconds."""
        since = self._clock.now() - timedelta(seconds=WATCHDOG_SECONDS)
        async with self.pool.acquire() as connection:
            lives: bool = await connection.fetchval(WATCHDOG_LIVES, since)
        return lives

    async def begin(
        self,
        connection: Connection,
        plan: PlanRow,
        pair: Pair,
        first_leg: str,
        position: PairPosition,
        state: PairState,
        venue_at: datetime,
        mode: Mode,
        why: str,
    ) -> bool:
        """Begin a plan in the caller's transaction, worked as ``mode`` because ``why``.

        Returns False when somebody has ended it before.
        """
        begun = await begin_plan(
            connection,
            plan.id,
            first_leg,
            spot_symbol=pair.spot.symbol,
            perp_symbol=pair.perp.symbol,
            spot=position.spot_quantity,
            perp=position.perp_quantity,
        )
        if begun:
            await connection.execute(NOTE_ROUTE, plan.id, mode.value, why)
            await start_position(
                connection,
                pair=plan.pair,
                state=state,
                target_quantity=plan.target_quantity,
                correlation_id=plan.correlation_id,
                venue_at=venue_at,
                now=self._clock.now(),
            )
            await self.say(connection, [_started(plan)])
        return begun

    async def resend(self, link_id: str, signed_at: datetime, kill_level: int) -> bool:
        """Journal one more send; False when it has ended or such a kill stands: send nothing."""
        async with self.transaction() as connection:
            return await resend_attempt(
                connection, link_id, signed_at, self.lease.epoch, kill_level
            )

    async def answer(
        self,
        link_id: str,
        state: str,
        *,
        order_id: str | None = None,
        code: int | None = None,
        message: str | None = None,
    ) -> None:
        """Store what the venue answered, or that it did not."""
        async with self.transaction() as connection:
            await answer_attempt(
                connection,
                link_id,
                state,
                self._clock.now(),
                order_id=order_id,
                code=code,
                message=message,
            )
            reached(CrashPoint.ANSWER_STORING)
        reached(CrashPoint.ANSWER_STORED)

    async def finish(
        self,
        plan: PlanRow,
        *,
        state: str,
        reason: str,
        position: PairPosition,
        position_state: PairState | None,
        unhedged_seconds: Decimal,
        venue_at: datetime | None,
    ) -> None:
        """End a plan, leave the pair in ``position_state`` (None: as it is) and say so."""
        now = self._clock.now()
        async with self.transaction() as connection:
            ended = await finish_plan(
                connection,
                plan_id=plan.id,
                state=state,
                reason=reason,
                unhedged_seconds=unhedged_seconds,
                venue_at=venue_at,
                now=now,
            )
            if not ended:
                return
            if position_state is not None:
                await end_position(connection, plan.pair, position_state, now)
            await self.say(connection, [finished(plan, state, reason, position, unhedged_seconds)])

    async def alarm(self, name: str, detail: str, pair: str | None = None) -> None:
        """Tell a person: a log line, a count and an event; the same again only each minute."""
        at = self._alarmed.get((name, pair))
        now = self._clock.monotonic()
        if at is not None and now - at < ALARM_AGAIN_SECONDS:
            return
        self._alarmed[name, pair] = now
        log.error("alarm_raised", alarm=name, detail=detail, pair=pair)
        self._alarms.labels(alarm=name).inc()
        async with self.transaction() as connection:
            await self.say(connection, [AlarmRaised(name, detail, pair, self._clock.now())])


def finished(
    plan: PlanRow, state: str, reason: str, position: PairPosition, unhedged_seconds: Decimal
) -> PlanFinished:
    """Return the event that a plan ended."""
    return PlanFinished(
        plan_id=plan.id,
        intent_id=plan.intent_id,
        correlation_id=plan.correlation_id,
        pair=plan.pair,
        outcome=state,
        reason=reason,
        spot_quantity=position.spot_quantity,
        perp_quantity=position.perp_quantity,
        unhedged_seconds=unhedged_seconds,
    )


def _started(plan: PlanRow) -> PlanStarted:
    return PlanStarted(
        plan_id=plan.id,
        intent_id=plan.intent_id,
        correlation_id=plan.correlation_id,
        pair=plan.pair,
        target_quantity=plan.target_quantity,
    )
