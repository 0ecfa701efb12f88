"""How the executor's parts hang together, whatever they are made of."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.executor.audit import Auditor
from services.executor.bookkeeper import Bookkeeper
from services.executor.commands import Commands
from services.executor.dues import FundingWatch
from services.executor.equity import EquityRecorder
from services.executor.executor import Executor
from services.executor.gate import Gate
from services.executor.guard import Guard
from services.executor.headroom import Headroom
from services.executor.journal import Doorbell, Journal
from services.executor.kill import KillSwitch
from services.executor.last_resort import LastResort
from services.executor.lease import Lease
from services.executor.margin import MarginWatch
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders, Pace
from services.executor.reconcile import Reconciler
from services.executor.residual import Residuals
from services.executor.worker import Rules
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.store.pool import WritePool

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """A whole executor; ``loops`` run for ever beside ``reconciler.start()``."""

    lease: Lease
    journal: Journal
    executor: Executor
    bookkeeper: Bookkeeper
    reconciler: Reconciler
    guard: Guard
    residuals: Residuals
    margin: MarginWatch
    loops: tuple[Loop, ...]


def assemble(
    gateway: TradingGateway,
    *,
    pool: WritePool,
    doorbell: Doorbell,
    market: Market,
    clock: Clock,
    metrics: ExecutorMetrics,
    rules: Rules,
    pace: Pace,
    epoch: int,
    owner: str,
    history_start: datetime,
    safe_mode: bool = False,
) -> Parts:
    """Return the parts, wired; nothing runs yet. ``epoch`` is the installation's."""
    guard = Guard()
    headroom = Headroom(rules.execution.margin_trim, clock, metrics)
    lease = Lease(pool, clock, owner, pace.settle_seconds, pace.lease_seconds, safe_mode=safe_mode)
    journal = Journal(pool, lease, doorbell, clock, metrics.alarms)
    orders = Orders(gateway, journal=journal, clock=clock, pace=pace, metrics=metrics, guard=guard)
    wake = market.settlement_passed  # a settlement and a plan's end are in the log at once
    executor = Executor(
        gateway,
        journal=journal,
        market=market,
        clock=clock,
        gate=Gate(
            journal=journal,
            market=market,
            clock=clock,
            guard=guard,
            headroom=headroom,
            limits=rules.limits,
            is_crossed=lambda desk: bookkeeper.stands_against(desk.pair),
            safe_mode=safe_mode,
        ),
        metrics=metrics,
        orders=orders,
        rules=rules,
        epoch=epoch,
        plan_ended=wake.set,
        spare_coin=lambda pair: bookkeeper.spare_coin(pair),
    )
    bookkeeper = Bookkeeper(
        gateway,
        journal=journal,
        clock=clock,
        guard=guard,
        metrics=metrics,
        pairs=market.pairs,
        wake=wake,
        fetch_executions=executor.fetch_executions,
        funding_owner=lambda name: executor.desks[name].correlation_id,
    )
    reconciler = Reconciler(
        gateway,
        executor=executor,
        bookkeeper=bookkeeper,
        orders=orders,
        journal=journal,
        market=market,
        clock=clock,
        guard=guard,
        metrics=metrics,
        history_start=history_start,
        limits=rules.limits,
        safe_mode=safe_mode,
    )
    equity = EquityRecorder(
        bookkeeper, journal=journal, market=market, clock=clock, metrics=metrics
    )
    last_resort = LastResort(gateway, market, clock)
    residuals = Residuals(
        executor,
        armed=reconciler.armed,
        journal=journal,
        clock=clock,
        policy=rules.execution,
        last_resort=last_resort,
    )
    kill = KillSwitch(
        gateway,
        executor=executor,
        journal=journal,
        clock=clock,
        guard=guard,
        unknown_max=rules.limits.unknown_max,
        armed=reconciler.armed,
        safe_mode=safe_mode,
    )
    margin = MarginWatch(
        gateway,
        executor=executor,
        headroom=headroom,
        armed=reconciler.armed,
        journal=journal,
        clock=clock,
        policy=rules.execution,
        settle_seconds=pace.read_lag_seconds,
    )
    dues = FundingWatch(
        bookkeeper, journal=journal, market=market, clock=clock, ready=reconciler.armed
    )
    commands = Commands(
        executor=executor, bookkeeper=bookkeeper, journal=journal, market=market, clock=clock
    )
    loops: tuple[Loop, ...] = (
        lease.keep,
        kill.run,
        executor.listen,
        executor.run_desks,
        bookkeeper.run,
        reconciler.run,
        residuals.run,
        lambda: last_resort.follow(executor.desks.values()),
        equity.run,
        commands.run,
        dues.run,
        Auditor(journal, clock, guard, reconciler.armed).run,
    )
    if not safe_mode:  # which leaves hedged pairs alone, but for a kill
        loops += (margin.run,)
    return Parts(lease, journal, executor, bookkeeper, reconciler, guard, residuals, margin, loops)
