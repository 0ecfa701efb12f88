"""The request budget: what of the venue's limits each kind of call may use, and whose turn it is.

A rolling window and not a leaky bucket: a bucket that allows a burst of its whole rate lets twice
the rate pass in the first second, which the venue refuses.
Source: Bybit V5 reference 12: per account and endpoint in any second, per address in any five.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import count
from typing import Any, Final

import structlog

from shared.domain.errors import RateLimited
from shared.exchange.bybit.errors import Banned, Throttled
from shared.runtime.clock import Clock


class Priority(IntEnum):
    """Who goes first: what cancels, hedges and reduces; then what opens; then what only asks."""

    REDUCE = 0
    OPEN = 1
    READ = 2


ORDERS: Final = {"linear": 10, "spot": 20}
PER_SECOND: Final[Mapping[str, Mapping[str, int] | int]] = {
    "place_order": ORDERS,
    "cancel_order": ORDERS,
    "get_open_orders": 50,
    "get_order_history": 50,
    "get_executions": 50,
    "get_positions": 50,
    "get_wallet_balance": 50,
    "get_account_info": 50,
    "get_collateral_info": 50,
    "get_user_setting_config": 50,
    "get_transaction_log": 25,
    "get_api_key_information": 10,
    "set_limit_price_action": 5,
}
"""Calls of one account in any second, by product where they differ; public ones have none."""

WINDOW_SECONDS: Final = 1.05
"""A second, and what two requests may come nearer to each other on their way."""
ADDRESS_CALLS: Final = 300
"""Half of what one address may ask: two processes share it at their worst."""
ADDRESS_SECONDS: Final = 5.25
RESERVED_PERCENT: Final = 30
IN_FLIGHT: Final[Mapping[Priority, int]] = {
    Priority.REDUCE: 8,
    Priority.OPEN: 4,
    Priority.READ: 5,
}
"""Calls unanswered at once, each kind by its own: slow reads leave orders their threads."""

PAUSE_LEAST: Final = timedelta(milliseconds=100)
PAUSE_MOST: Final = timedelta(seconds=5)
BAN_SECONDS: Final = 600.0
PATIENCE_SECONDS: Final = 30.0
TIMER_LEAST_SECONDS: Final = 0.001

log = structlog.get_logger()


class Window:
    """The calls of the last ``seconds``; only what goes first may use the reserved part."""

    def __init__(self, limit: int, seconds: float) -> None:
        reserved = -(-limit * RESERVED_PERCENT // 100)
        self._room = dict.fromkeys(Priority, limit - reserved) | {Priority.REDUCE: limit}
        self._seconds = seconds
        self._calls: deque[float] = deque()
        self._paused_until = 0.0

    def free_at(self, priority: Priority, now: float) -> float:
        """Return from when on one more call fits, monotonic seconds; now or earlier: at once."""
        while self._calls and self._calls[0] + self._seconds <= now:
            self._calls.popleft()
        over = len(self._calls) - self._room[priority]
        fits = now if over < 0 else self._calls[over] + self._seconds
        return max(fits, self._paused_until)

    def take(self, now: float) -> None:
        """Count one call."""
        self._calls.append(now)

    def pause(self, until: float) -> None:
        """Let nothing pass before ``until``."""
        self._paused_until = max(self._paused_until, until)


@dataclass(slots=True, eq=False)
class _Caller:
    """One call that wants its turn; ``place`` is unique and rises."""

    group: str
    priority: Priority
    place: int
    gives_up_at: float
    turn: "asyncio.Future[None]" = field(default_factory=asyncio.Future)

    @property
    def has_turn(self) -> bool:
        """Whether the call has been counted."""
        return self.turn.done() and not self.turn.cancelled() and self.turn.exception() is None


class Budget:
    """Gives each call its turn: by priority, then by arrival, within every limit at once.

    A ban is everybody's: until it is over nothing is sent, and every call fails at once.
    ``on_ban`` hears of each.
    """

    def __init__(self, clock: Clock, on_ban: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._on_ban = on_ban
        self._address = Window(ADDRESS_CALLS, ADDRESS_SECONDS)
        self._groups: dict[str, Window] = {}
        self._queues: dict[tuple[Priority, str], deque[_Caller]] = {}
        self._places = count()
        self._in_flight = dict.fromkeys(Priority, 0)
        self._banned_until = float("-inf")
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = float("inf")

    @contextlib.asynccontextmanager
    async def turn(
        self,
        method: str,
        query: Mapping[str, Any],
        priority: Priority,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[None]:
        """Hold a turn for the time of a block, and learn from what it raises.

        Raises: Banned, and RateLimited when no turn came in time; nothing was sent.
        """
        now = self._clock.monotonic()
        if now < self._banned_until:
            raise Banned(f"not sent: banned for {self._banned_until - now:.0f} s more")
        group = self._group_of(method, query)
        caller = _Caller(group, priority, next(self._places), now + patience_seconds)
        self._queues.setdefault((priority, group), deque()).append(caller)
        self._admit()
        try:
            await caller.turn
            yield
        except Throttled as error:
            self._pause(group, error.resets_at)
            raise
        except Banned:
            self._ban()
            raise
        finally:
            if caller.has_turn:
                self._in_flight[priority] -= 1
            else:
                with contextlib.suppress(ValueError):
                    self._queues[priority, group].remove(caller)
            self._admit()

    def close(self) -> None:
        """Give nobody a turn any more."""
        self._fail_all(lambda: RateLimited("not sent: the client is closed"))
        self._set_timer(None)

    def _admit(self) -> None:
        """Give turns while anybody's call fits, and look again when the next one will."""
        now = self._clock.monotonic()
        while True:
            heads = self._heads(now)
            caller = next((c for c in heads if self._fits_at(c, now) <= now), None)
            if caller is None:
                break
            self._queues[caller.priority, caller.group].popleft()
            for window in self._windows(caller):
                window.take(now)
            self._in_flight[caller.priority] += 1
            caller.turn.set_result(None)
        self._set_timer(
            min((min(self._fits_at(c, now), c.gives_up_at) for c in heads), default=None)
        )

    def _heads(self, now: float) -> list[_Caller]:
        """Return who is first in each queue, the most urgent first, sending away who gave up."""
        heads = []
        for queue in self._queues.values():
            while queue and (queue[0].turn.done() or queue[0].gives_up_at <= now):
                late = queue.popleft()
                if not late.turn.done():
                    late.turn.set_exception(RateLimited(f"not sent: no room for {late.group}"))
            if queue:
                heads.append(queue[0])
        return sorted(heads, key=lambda c: (c.priority, c.place))

    def _fits_at(self, caller: _Caller, now: float) -> float:
        """Return when a call fits; never while too many of its kind are unanswered."""
        if self._in_flight[caller.priority] >= IN_FLIGHT[caller.priority]:
            return float("inf")
        return max(w.free_at(caller.priority, now) for w in self._windows(caller))

    def _windows(self, caller: _Caller) -> tuple[Window, ...]:
        own = self._groups.get(caller.group)
        return (self._address,) if own is None else (self._address, own)

    def _group_of(self, method: str, query: Mapping[str, Any]) -> str:
        """Return the name of what the venue counts a call by, whose window then exists."""
        limit = PER_SECOND.get(method)
        if limit is None:
            return method
        if not isinstance(limit, int):
            category = str(query["category"])
            method, limit = f"{method} {category}", limit[category]
        if method not in self._groups:
            self._groups[method] = Window(limit, WINDOW_SECONDS)
        return method

    def _pause(self, group: str, resets_at: datetime | None) -> None:
        """Hold one group back until the venue's word; clocks may differ, so within bounds."""
        left = PAUSE_LEAST if resets_at is None else resets_at - self._clock.now()
        seconds = min(max(left, PAUSE_LEAST), PAUSE_MOST).total_seconds()
        window = self._groups.setdefault(group, Window(ADDRESS_CALLS, ADDRESS_SECONDS))
        window.pause(self._clock.monotonic() + seconds)
        log.warning("venue_throttled", group=group, seconds=seconds)

    def _ban(self) -> None:
        """Send nothing for ten minutes, the venue's own span; asking on would lengthen it."""
        now = self._clock.monotonic()
        is_new = now >= self._banned_until
        self._banned_until = now + BAN_SECONDS
        self._fail_all(lambda: Banned("not sent: banned meanwhile"))
        if is_new:
            log.error("venue_bans_us", seconds=BAN_SECONDS)
            self._on_ban()

    def _fail_all(self, error: Callable[[], RateLimited]) -> None:
        for queue in self._queues.values():
            while queue:
                caller = queue.popleft()
                if not caller.turn.done():
                    caller.turn.set_exception(error())

    def _set_timer(self, at: float | None) -> None:
        """Look again ``at``; None and infinity: only when somebody comes or goes."""
        at = float("inf") if at is None else at
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at != float("inf"):
            self._timer = asyncio.get_running_loop().create_task(self._look_again(at))

    async def _look_again(self, at: float) -> None:
        await self._clock.sleep(max(at - self._clock.monotonic(), TIMER_LEAST_SECONDS))
        self._timer, self._timer_at = None, float("inf")
        self._admit()
