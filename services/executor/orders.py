"""Sending one order and proving what became of it: yes, no, or in doubt until it is proven."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.executor.desk import Desk, Report, Tracked
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.market import wait
from services.executor.metrics import ExecutorMetrics
from shared.domain.errors import (
    Malformed,
    Misconfigured,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    Transient,
)
from shared.domain.execution import Purpose
from shared.domain.order import OrderTicket, Side
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.orders import AttemptRow

SENDS_MAX: Final = 20
PROBES: Final = 3
PROOFS: Final = 2
SILENCE: Final = "venue silent"
FORGETS_AFTER: Final = timedelta(hours=20)  # the venue forgets unfilled orders after 24 hours

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """Wall seconds. The fence is the latest instant at which a signed order can still appear."""

    answer_seconds: float = 2.0
    ack_seconds: float = 0.1
    poll_seconds: float = 0.5
    rest_poll_seconds: float = 2.0
    probe_seconds: float = 1.0
    lease_seconds: float = 5.0
    receive_window_seconds: float = 3.0
    skew_seconds: float = 0.25
    read_lag_seconds: float = 5.0
    taken_lag_seconds: float = 30.0
    proof_gap_seconds: float = 1.0
    stalled_seconds: float = 1.0
    doubt_alarm_seconds: float = 60.0

    @property
    def fence(self) -> timedelta:
        """How long after its signature an order that no read shows is proven absent."""
        return timedelta(
            seconds=self.receive_window_seconds + self.skew_seconds + self.read_lag_seconds
        )

    @property
    def settle_seconds(self) -> float:
        """How long a new leader sends nothing after an unclean end of the last one."""
        return self.receive_window_seconds + self.skew_seconds + 1.0


class Orders:
    """Sends orders and follows each to its end; the fills themselves are booked by the desk."""

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        journal: Journal,
        clock: Clock,
        pace: Pace,
        metrics: ExecutorMetrics,
        guard: Guard,
    ) -> None:
        self._guard = guard
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._pace = pace
        self._metrics = metrics

    async def send(self, desk: Desk, order: Tracked, attempt: AttemptRow) -> None:
        """Send a journaled order and return when it has come to its end."""
        ticket = OrderTicket(
            attempt.link_id,
            order.category,
            attempt.symbol,
            Side(attempt.side),
            attempt.quantity,
            attempt.limit_price,
            attempt.reduce_only,
            order.rests,
            is_first=attempt.purpose == Purpose.FIRST.value,
        )
        refusal = "not taken"
        for number in range(SENDS_MAX):
            if number:
                await self._clock.sleep(self._pace.poll_seconds)
                order.signed_at = self._clock.now()
                if not await self._resend(order):
                    break  # an earlier send has ended it, or a kill stands
            try:
                order_id = await self._place(desk, ticket, order)
            except OrderRejected as error:
                if number:  # an earlier send may stand: its refusal was for that send only (R:O6)
                    await self._in_doubt(desk, order, ticket, str(error))
                else:
                    await self._refused(desk, order, error.code, error.message)
                return
            except RateLimited as error:  # not taken, by the venue's word: the same id again
                refusal = str(error)
                log.warning("order_not_taken", **_names(order), detail=refusal)
            except Misconfigured as error:
                await self._journal.alarm("venue_refuses_key", str(error), desk.pair.name)
                if number:
                    await self._in_doubt(desk, order, ticket, str(error))
                else:
                    await self._refused(desk, order, None, str(error))
                return
            except (OutcomeUnknown, Transient, Malformed) as error:
                await self._in_doubt(desk, order, ticket, str(error))
                return
            else:
                await self._accepted(desk, order, order_id)
                return
        await self._in_doubt(desk, order, ticket, refusal)

    async def settle(
        self,
        desk: Desk,
        order: Tracked,
        *,
        accepted: bool = False,
        ticket: OrderTicket | None = None,
    ) -> None:
        """Read an order by its id until it has come to its end or is proven absent.

        Absent needs two reads, both begun after the fence, that find neither order nor execution;
        the fence of an order that was ``accepted`` lies further off. With its ``ticket`` an order
        that no read shows is also sent again, under its own id: the venue takes it now or knows it
        already, and never both. What rests and is unwanted is cancelled until it is gone.

        While no read shows it, nothing else of the pair may rest: what came of that could not be
        hedged. What no read shows after twenty hours proves nothing any more: it is quarantined.
        """
        proofs, proven_at, began, probes = 0, 0.0, self._clock.monotonic(), 0
        while order.ended is None:
            read_at, at = self._clock.now(), self._clock.monotonic()
            found = await self._look(desk, order)
            if order.ended is not None:
                return
            if order.unwanted and (found or accepted):
                await self._cancel(order)
            if not found and not order.rests:
                _withdraw(desk)
            if found is None:
                pass  # the venue did not answer: nothing is known
            elif found:
                proofs = 0
            elif self._clock.now() - order.signed_at > FORGETS_AFTER:
                await self._quarantine(desk, order)
                return
            elif ticket is not None and not accepted and probes < PROBES and self._is_stale(order):
                probes += 1
                accepted = await self._probe(desk, ticket, order)
            elif (
                self._is_behind_fence(order, read_at, accepted=accepted)
                and at - proven_at >= self._pace.proof_gap_seconds
            ):
                proofs, proven_at = proofs + 1, at
                if proofs == PROOFS:
                    await self._journal.answer(order.link_id, "absent")
                    log.warning("order_absent", **_names(order))
                    desk.end(order, "absent")
                    return
            if order.rests and not order.unwanted:
                await self._news_within(desk, order, self._pace.rest_poll_seconds)
                continue
            if self._clock.monotonic() - began > self._pace.doubt_alarm_seconds:
                await self._journal.alarm("order_in_doubt", order.link_id, desk.pair.name)
            await self._news_within(desk, order, self._pace.poll_seconds)

    async def _quarantine(self, desk: Desk, order: Tracked) -> None:
        """Leave an order to a person: it counts at its worst, and forbids new risk, until then."""
        await self._journal.answer(order.link_id, "quarantined")
        await self._journal.alarm("order_quarantined", order.link_id, desk.pair.name)
        desk.end(order, "quarantined")

    def _is_stale(self, order: Tracked) -> bool:
        age = self._clock.now() - order.signed_at
        return not order.unwanted and age >= timedelta(seconds=self._pace.probe_seconds)

    async def _probe(self, desk: Desk, ticket: OrderTicket, order: Tracked) -> bool:
        """Send an order once more under its own id; True when it is the venue's now.

        Only a yes tells anything: a refusal of this send may come of what an earlier one did.
        """
        order.signed_at = self._clock.now()
        if not await self._resend(order):
            return False  # an earlier send has ended it, or a kill stands
        try:
            order_id = await self._place(desk, ticket, order)
        except (OrderRejected, OutcomeUnknown, Transient, Malformed, Misconfigured) as error:
            log.warning("order_probed", **_names(order), detail=str(error))
            return False
        if order.ended is None:
            await self._journal.answer(order.link_id, "live", order_id=order_id)
        return True

    async def _resend(self, order: Tracked) -> bool:
        return await self._journal.resend(order.link_id, order.signed_at, order.forbidden_at)

    async def _cancel(self, order: Tracked) -> None:
        """Ask for the end of a resting order; only a read says that it came."""
        try:
            await self._gateway.cancel_order(order.category, order.symbol, order.link_id)
            reached(CrashPoint.CANCEL_SENT)
        except (OrderRejected, OutcomeUnknown, Transient, Malformed) as error:
            log.warning("cancel_unanswered", **_names(order), detail=str(error))

    def _is_behind_fence(self, order: Tracked, read_at: datetime, *, accepted: bool) -> bool:
        """Whether an order that no read shows can appear no more.

        One that the venue has taken may be invisible for longer; but it must not be waited for for
        ever either: a venue that loses what it took would leave one leg alone.
        """
        fence = order.signed_at + self._pace.fence
        if accepted:
            fence += timedelta(seconds=self._pace.taken_lag_seconds)
        return read_at >= fence

    async def _place(self, desk: Desk, ticket: OrderTicket, order: Tracked) -> str:
        """Send once and wait for the answer, not longer than the other leg may stand alone.

        An order that its fills have ended needs no answer; then its id is empty.
        """
        if self._clock.now() - order.signed_at > timedelta(seconds=self._pace.stalled_seconds):
            raise RateLimited("not sent: too long ago since it was signed")
        answer = asyncio.ensure_future(self._gateway.place_order(ticket, order.signed_at))
        news = asyncio.ensure_future(self._news_within(desk, order, self._pace.answer_seconds))
        try:
            await asyncio.wait({answer, news}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and order.ended is None:
                raise OutcomeUnknown(f"no answer within {self._pace.answer_seconds:g} s")
            order_id = answer.result() if answer.done() else ""
        finally:
            answer.cancel()
            news.cancel()
        reached(CrashPoint.ANSWERED)
        return order_id

    async def _accepted(self, desk: Desk, order: Tracked, order_id: str) -> None:
        if await self._news_within(desk, order, self._pace.ack_seconds):
            return  # its fills carried the order id into the journal
        await self._journal.answer(order.link_id, "live", order_id=order_id)
        reached(CrashPoint.LIVE)
        await self._news_within(desk, order, self._pace.poll_seconds)
        await self.settle(desk, order, accepted=True)

    async def _refused(self, desk: Desk, order: Tracked, code: int | None, message: str) -> None:
        await self._journal.answer(order.link_id, "rejected", code=code, message=message)
        log.warning("order_rejected", **_names(order), code=code, detail=message)
        desk.end(order, "rejected")

    async def _in_doubt(
        self, desk: Desk, order: Tracked, ticket: OrderTicket, message: str
    ) -> None:
        """Place nothing new for the pair until it is proven what became of the order."""
        self._metrics.in_doubt.inc()
        log.warning("order_in_doubt", **_names(order), detail=message)
        try:
            await self._journal.answer(order.link_id, "unknown", message=message)
            order.unwanted = order.rests
            await self.settle(desk, order, ticket=None if order.rests else ticket)
        finally:
            self._metrics.in_doubt.dec()

    async def _look(self, desk: Desk, order: Tracked) -> bool | None:
        """Read the order and its executions and book them; None when the venue did not answer."""
        try:
            report, executions = await asyncio.gather(
                self._gateway.read_order(order.category, order.symbol, order.link_id),
                self._gateway.read_executions(order.category, link_id=order.link_id),
            )
        except (Transient, Malformed) as error:
            log.warning("order_unreadable", **_names(order), detail=str(error))
            self._guard.report(SILENCE, f"{order.link_id} cannot be read: {error}", passes=True)
            return None
        self._guard.report(SILENCE, None)  # while it does not answer nothing is opened (R:H2)
        reports: Sequence[Report] = [*executions, *([] if report is None else [report])]
        for found in reports:
            desk.receive(found)
        await desk.drained()
        return bool(reports)

    async def _news_within(self, desk: Desk, order: Tracked, seconds: float) -> bool:
        """Wait until an order has ended or is wanted no more; return whether it has ended."""
        deadline, was_unwanted = self._clock.monotonic() + seconds, order.unwanted
        while order.ended is None and order.unwanted is was_unwanted:
            desk.changed.clear()
            left = deadline - self._clock.monotonic()
            if left <= 0 or not await wait(desk.changed, left):
                break
        return order.ended is not None


def _withdraw(desk: Desk) -> None:
    """Let nothing of the pair rest any longer."""
    for order in desk.orders.values():
        if order.rests and not order.unwanted:
            order.unwanted = True
            desk.changed.set()


def _names(order: Tracked) -> dict[str, str]:
    return {"client_order_id": order.link_id, "correlation_id": order.correlation_id}
