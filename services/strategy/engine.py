"""The loop around ``decide``: one pass per complete market instant, journaled before it is said."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any, Protocol

import structlog

from services.strategy.record import DecisionInputs, encode_inputs, inputs_hash, verdicts
from shared.analytics.deciding import Statistician
from shared.bus.messages import (
    ExecutionEvent,
    FundingSettled,
    PairWanted,
    PlanFinished,
    QuoteUpdated,
)
from shared.bus.outbox import enqueue
from shared.bus.streams import STRATEGY_INTENTS
from shared.domain.events import PairSettled, TargetSet
from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Pair
from shared.domain.market import Quote
from shared.domain.order import content_id
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.domain.strategy import Decision
from shared.domain.universe import Reason, exclusion
from shared.domain.view import MarketView, PerpPrices
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.bars import read_basis_levels
from shared.store.decisions import (
    IntentRow,
    insert_decision,
    insert_late_instants,
    insert_policy,
    read_last_instant,
    read_targets,
)
from shared.store.funding import read_recent_settlements
from shared.store.pool import WritePool

INSTANT_GRID = timedelta(minutes=1)
KEEP_UNCHANGED_DAYS = 7

log = structlog.get_logger()


class Doorbell(Protocol):
    """Wakes whoever publishes what a transaction left in the outbox."""

    def notify(self) -> None:
        """Say that something was committed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often decisions are due (venue time), and how long one waits for funding (wall)."""

    bar: timedelta
    funding_wait_seconds: int = 5


class Engine:
    """Decides once per instant, and keeps what it believes it holds.

    ``epoch`` is the installation's, so that no id is ever used again after a restore.
    """

    def __init__(
        self,
        *,
        pool: WritePool,
        doorbell: Doorbell,
        clock: Clock,
        epoch: int,
        policy: CarryPolicy,
        policy_hash: str,
        view: MarketView,
        pace: Pace,
    ) -> None:
        self._pool = pool
        self._doorbell = doorbell
        self._clock = clock
        self._epoch = epoch
        self._policy = policy
        self._policy_hash = policy_hash
        self._view = view
        self._statistician = Statistician(view, policy)
        self._pace = pace
        self._portfolio = Portfolio()
        self._intents: dict[str, str] = {}
        self._last: datetime | None = None
        self._pending: tuple[datetime, float] | None = None
        self._deciding = asyncio.Lock()
        self._in_doubt = False
        self.decisions = 0
        self.late = 0
        self.held_unknown: dict[str, str] = {}
        """Held pairs that can be judged no more, and what is missing of each (S8)."""

    @property
    def last_instant(self) -> datetime | None:
        """The newest instant decided, venue time."""
        return self._last

    async def recover(self) -> None:
        """Take up where the journal ends: the last instant, and each pair's newest target."""
        async with self._pool.acquire() as connection:
            await insert_policy(
                connection, self._policy_hash, _policy_body(self._policy), self._clock.now()
            )
            self._last = await read_last_instant(connection)
            for target in await read_targets(connection):
                self._intents[target.pair] = target.intent_id
                quantity = target.held if target.plan_ended else target.quantity
                self._portfolio = apply(
                    self._portfolio, PairSettled(target.pair, quantity, target.decided_at)
                )

    async def quoted(self, quotes: Sequence[QuoteUpdated]) -> None:
        """Take quotes in, and decide when they complete an instant."""
        for message in quotes:
            hours = message.funding_interval_hours
            prices = PerpPrices(
                message.mark,
                message.index,
                message.predicted_rate,
                message.next_funding_at,
                None if hours is None else timedelta(seconds=int(hours * 3600)),
                message.ticker_at or message.venue_at,
                message.pool,
            )
            quote = Quote(
                message.bid, message.bid_size, message.ask, message.ask_size, message.venue_at
            )
            self._view.quoted(Category(message.category), message.symbol, quote, prices)
        await self.decide_if_due()

    @property
    def pairs(self) -> list[str]:
        """The names of the pairs that are decided on."""
        return sorted(self._view.markets)

    def renew(self, pairs: Iterable[Pair]) -> None:
        """Take in the rules as they are now: a delivery that is announced closes its pair (R10)."""
        for pair in pairs:
            if pair != self._view.markets[pair.name].pair:
                log.info("rules_changed", pair=pair.name)
                self._view.renew(pair)

    async def settled(self, message: FundingSettled) -> None:
        """Take a settled rate in; it may be the one an instant waits for."""
        hours = int(message.interval_hours * 3600)
        self._view.settled(
            FundingSettlement(
                message.symbol, message.rate, message.settled_at, timedelta(seconds=hours)
            )
        )
        await self.decide_if_due()

    def executed(self, event: ExecutionEvent) -> None:
        """Learn what became of the newest intent of a pair."""
        if not isinstance(event, PlanFinished) or self._intents.get(event.pair) != event.intent_id:
            return
        at = self._last or self._clock.now()
        self._portfolio = apply(
            self._portfolio, PairSettled(event.pair, abs(event.perp_quantity), at)
        )

    async def decide_if_due(self) -> None:
        """Decide when a new instant is complete, or has waited too long for funding."""
        async with self._deciding:
            if self._in_doubt:  # the last pass failed, perhaps after its commit: ask the journal
                await self.recover()
                self._in_doubt = False
            instant = self._view.newest_instant(INSTANT_GRID)
            if instant is None or (self._last is not None and instant <= self._last):
                return
            if not self._view.funding_is_complete(instant) and not self._waited_enough(instant):
                return
            await self._tell()
            await self._pass(instant)

    async def watch(self) -> None:
        """Look again each half second, so that an instant never waits for ever.

        What has settled meanwhile is told of at once: the next instant finds it done.
        """
        while True:
            await self._clock.sleep(0.5)
            async with self._deciding:
                await self._tell()
            await self.decide_if_due()

    async def _tell(self) -> None:
        """Bring the signals up to date, a pair at a time: the loop breathes between two of them.

        A pair that is not known for the whole history is read again first: the collector may have
        filled in its past since. The basis is read wherever it is not known, and asked for again
        until it is.
        """
        due = self._statistician.due()
        if wanted := sorted({*due, *self._statistician.lacking()}):
            await self._read_the_past(due)
            await self._read_levels(wanted)
        while due := self._statistician.due():
            self._statistician.tell(due[0])
            await asyncio.sleep(0)

    async def _read_the_past(self, names: Sequence[str]) -> None:
        short = [name for name in names if not self._knows_the_past(name)]
        if not short:
            return
        async with self._pool.acquire() as connection:
            known = await read_recent_settlements(connection, short, self._policy.settlements_most)
        for settlement in chain.from_iterable(known.values()):
            self._view.settled(settlement)

    async def _read_levels(self, names: Sequence[str]) -> None:
        async with self._pool.acquire() as connection:
            for name in names:
                market, known = self._view.markets[name], self._view.levels(name)
                since = market.settlements[-1].settled_at - self._policy.history
                stamps = [s.settled_at for s in market.settlements if s.settled_at > since]
                unknown = [at for at in stamps if at not in known]
                for level in await read_basis_levels(connection, market.pair, unknown):
                    self._view.levelled(level)

    def _knows_the_past(self, name: str) -> bool:
        """Whether the settlements reach back far enough, and none between them is missing.

        What a backfill says on the stream is its end: between it and what was read may lie months.
        """
        known = self._view.markets[name].settlements
        return known[0].settled_at <= known[-1].settled_at - self._policy.history and all(
            later.settled_at - later.interval <= earlier.settled_at
            for earlier, later in pairwise(known)
        )

    def _waited_enough(self, instant: datetime) -> bool:
        if self._pending is None or self._pending[0] != instant:
            self._pending = (instant, self._clock.monotonic())
        waited = self._clock.monotonic() - self._pending[1]
        return waited >= self._pace.funding_wait_seconds

    async def _pass(self, instant: datetime) -> None:
        inputs = DecisionInputs(self._portfolio, self._view.snapshot(instant), self._policy)
        decision = inputs.decide()
        body = encode_inputs(inputs)
        key = inputs_hash(body)
        decision_id = content_id(str(self._epoch), instant.isoformat(), self._policy_hash, key)
        rows = self._intent_rows(decision, decision_id)
        missed = self._missed(instant)
        now = self._clock.now()
        if rows:
            reached(CrashPoint.DECIDED)
        self._in_doubt = True
        async with self._pool.acquire() as connection, connection.transaction():
            await insert_decision(
                connection,
                decision_id=decision_id,
                decided_at=instant,
                policy_hash=self._policy_hash,
                inputs_hash=key,
                inputs=body,
                keep_until=None if rows else now + timedelta(days=KEEP_UNCHANGED_DAYS),
                verdicts=verdicts(decision, self._policy),
                intents=rows,
                now=now,
            )
            if rows:
                await enqueue(connection, STRATEGY_INTENTS, [_message(row) for row in rows])
                reached(CrashPoint.INTENT_STORING)
            if missed:
                await insert_late_instants(connection, missed, "overrun", now)
        self._in_doubt = False
        self._committed(instant, rows, missed, decision_id)
        self._report_unknown(decision, inputs)

    def _committed(
        self,
        instant: datetime,
        rows: Sequence[IntentRow],
        missed: Sequence[datetime],
        decision_id: str,
    ) -> None:
        """Change what we believe only after the journal holds it."""
        self._last = instant
        self.decisions += 1
        self.late += len(missed)
        for row in rows:
            self._intents[row.pair] = row.id
            self._portfolio = apply(self._portfolio, TargetSet(row.pair, row.quantity, instant))
            log.info(
                "target_changed",
                correlation_id=decision_id,
                pair=row.pair,
                quantity=str(row.quantity),
                reason=row.reason,
                decided_at=instant.isoformat(),
            )
        for venue_at in missed:
            log.warning("instant_late", venue_at=venue_at.isoformat())
        if rows:
            self._doorbell.notify()

    def _report_unknown(self, decision: Decision, inputs: DecisionInputs) -> None:
        """Say once of each held pair that it can be judged no more: it stays, for whatever pays."""
        unknown = {}
        for appraisal in decision.appraisals:
            if appraisal.reason is Reason.NOT_KNOWN:
                market = inputs.market.pairs[appraisal.pair]
                missing = exclusion(market, inputs.policy, decision.instant)
                unknown[appraisal.pair] = "" if missing is None else missing.value
        for pair, what in unknown.items():
            if self.held_unknown.get(pair) != what:
                log.warning("held_pair_not_known", pair=pair, missing=what)
        for pair in self.held_unknown.keys() - unknown.keys():
            log.info("held_pair_known_again", pair=pair)
        self.held_unknown = unknown

    def _missed(self, instant: datetime) -> list[datetime]:
        if self._last is None:
            return []
        count = (instant - self._last) // self._pace.bar
        return [self._last + self._pace.bar * n for n in range(1, count)]

    def _intent_rows(self, decision: Decision, decision_id: str) -> list[IntentRow]:
        now = self._clock.now()
        return [
            IntentRow(
                id=content_id(decision_id, intent.pair),
                decision_id=decision_id,
                decided_at=decision.instant,
                pair=intent.pair,
                quantity=intent.quantity,
                until_at=intent.until,
                reason=intent.reason,
                correlation_id=decision_id,
                created_at=now,
            )
            for intent in decision.intents
        ]


def _message(row: IntentRow) -> PairWanted:
    return PairWanted(
        intent_id=row.id,
        decision_id=row.decision_id,
        correlation_id=row.correlation_id,
        pair=row.pair,
        quantity=row.quantity,
        reason=row.reason,
        decided_at=row.decided_at,
        until=row.until_at,
    )


def _policy_body(policy: CarryPolicy) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Decimal | timedelta) else value
        for name, value in asdict(policy).items()
    }
