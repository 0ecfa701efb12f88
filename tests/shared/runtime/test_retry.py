"""Backoff grows to its ceiling, jitters downwards only, and gives up at the deadline."""

from collections.abc import Callable
from itertools import islice

import pytest

from shared.domain.errors import OrderRejected, RateLimited
from shared.runtime.retry import backoff_delays, retry_transient
from tests.support.clock import ManualClock


def drawn(value: float) -> Callable[[], float]:
    return lambda: value


def test_delays_double_up_to_the_ceiling() -> None:
    delays = backoff_delays(drawn(1.0), first=0.5, ceiling=3.0)
    assert list(islice(delays, 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_takes_at_most_half_of_a_delay() -> None:
    delays = backoff_delays(drawn(0.0), first=0.5, ceiling=3.0)
    assert list(islice(delays, 4)) == [0.25, 0.5, 1.0, 1.5]


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return "answer"


async def test_a_transient_failure_is_tried_again_after_growing_waits() -> None:
    clock, flaky = ManualClock(auto=True), Flaky(3, RateLimited("slow down"))
    answer = await retry_transient(
        flaky, clock=clock, draw=drawn(1.0), deadline_seconds=10, first=0.1
    )
    assert answer == "answer"
    assert clock.slept == [0.1, 0.2, 0.4]


async def test_the_last_failure_is_raised_before_the_deadline_would_pass() -> None:
    clock, flaky = ManualClock(auto=True), Flaky(99, RateLimited("slow down"))
    with pytest.raises(RateLimited):
        await retry_transient(flaky, clock=clock, draw=drawn(1.0), deadline_seconds=1.0, first=0.25)
    # 0.25 + 0.5 = 0.75 s are gone; one more second would end after the deadline.
    assert clock.slept == [0.25, 0.5]


async def test_what_was_refused_is_never_sent_again() -> None:
    flaky = Flaky(1, OrderRejected(170131, "Insufficient balance."))
    with pytest.raises(OrderRejected):
        await retry_transient(
            flaky, clock=ManualClock(auto=True), draw=drawn(1.0), deadline_seconds=10
        )
    assert flaky.calls == 1
