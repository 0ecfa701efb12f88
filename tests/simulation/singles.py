"""Every single fault at every send: what is run, each once (RELIABILITY 3.2, rows 22-33)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

WINDOW: Final = 3.0
RESET, TIMED_OUT = 0.5, 5.0
SENDS: Final = (1, 2, 3)
PLANS: Final = ("open", "close")
LEGS: Final = ("first", "hedge")
ORDERS: Final = ("spot", "linear")
"""The product whose leg goes first."""

MOMENTS: Final = (0.0, 0.05, 0.2)
"""Seconds after a send's first byte: not yet at the venue, filled there, and booked here."""

BACK_SECONDS: Final = 0.5
GONE_SECONDS: Final = 60.0
"""When somebody starts an executor again that was gone for good: the watchdog was done before."""


@dataclass(frozen=True)
class Fault:
    """``kind`` happens ``times`` times, ``after`` seconds past its send; ``looks`` fixes the rest.

    ``restart`` is after how many seconds a process that has ended is started again.
    """

    name: str
    kind: str
    times: int = 1
    after: float = 0.0
    seconds: float = 0.0
    restart: float = BACK_SECONDS
    looks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A fault at one send, or at one commit of money when ``leg`` is "commit"."""

    fault: Fault | None
    first: str
    plan: str = ""
    leg: str = ""
    number: int = 0

    def __str__(self) -> str:
        name = "no fault" if self.fault is None else self.fault.name
        where = " ".join(word for word in (self.plan, self.leg) if word)
        return f"{name} at {where} {self.number}, {self.first} first"


def _requests() -> Iterator[Fault]:
    for how, seconds in (("reset", RESET), ("timed out", TIMED_OUT)):
        silent = {"silence": seconds}
        yield Fault(f"request lost, {how}", "request_lost", looks=silent)
        yield Fault(f"reply lost, {how}", "reply_lost", looks=silent)
    for part in (0.5, 1.0, 2.0):
        late = {"request_late": part * WINDOW, "silence": TIMED_OUT}
        yield Fault(f"request late by {part} windows", "request_late", looks=late)
    for seconds in (1.0, 4.9):
        yield Fault(f"reply {seconds} s late", "reply_late", looks={"reply_late": seconds})
    yield Fault("reply malformed", "reply_malformed")


def _codes() -> Iterator[Fault]:
    for code, why in ((110007, "margin"), (110003, "price"), (10003, "key")):
        yield Fault(f"refused {code} ({why})", "refused", looks={"refused": code})
    yield Fault("refused 10002", "clock_refused", looks={"clock_refused": 10002})
    yield Fault("refused 10006", "rate_limited", looks={"rate_limited": 10006})
    for kind, code in (("busy", 10016), ("code_unknown", 999_999)):
        for taken in (False, True):
            looks = {kind: code, "taken": taken}
            yield Fault(f"code {code}, {'taken' if taken else 'not taken'}", kind, looks=looks)


def _hearing() -> Iterator[Fault]:
    for times in (1, 4):
        yield Fault(f"{times} reads lost", "read_lost", times)
        yield Fault(f"{times} reads malformed", "read_malformed", times)
    yield Fault("2 reads late", "read_late", 2, looks={"read_late": 4.9})
    yield Fault("reads lag", "reads_lag", seconds=20.0)
    for times in (1, 2, 4):
        yield Fault(f"{times} events dropped", "event_dropped", times)
    yield Fault("events doubled", "event_doubled", 4)
    yield Fault("events late", "event_late", 2, looks={"event_late": 6.0})
    for seconds in (0.05, 5.0):
        yield Fault(f"stream reset for {seconds} s", "stream_reset", seconds=seconds)


def _servers() -> Iterator[Fault]:
    yield Fault("bus down", "bus_down", seconds=10.0)
    yield Fault("bus flushed", "bus_flushed")
    yield Fault("store refused", "store_refused")
    yield Fault("store connection dropped", "store_dropped")


def _processes() -> Iterator[Fault]:
    for after in MOMENTS:
        when = f"{after} s after"
        yield Fault(f"executor killed {when}", "killed", after=after)
        yield Fault(f"executor gone {when}", "killed", after=after, restart=GONE_SECONDS)
        yield Fault(f"executor paused {when}", "paused", after=after, seconds=5.0)


AT_SENDS: Final = (*_requests(), *_codes(), *_hearing(), *_servers(), *_processes())
AT_COMMITS: Final = (
    Fault("commit rolled back, connection lost", "commit_rolled_back"),
    Fault("commit reply lost", "commit_reply_lost"),
)


def at_sends() -> list[Case]:
    """Return every fault at every send."""
    places = product(ORDERS, PLANS, LEGS, SENDS)
    return [Case(fault, *place) for place in places for fault in AT_SENDS]


def at_commits(first: str, counts: Mapping[str, int]) -> list[Case]:
    """Return every fault at every commit of money; ``counts`` are a calm run's, by kind."""
    return [
        Case(fault, first, "", "commit", number)
        for fault in AT_COMMITS
        for number in range(1, counts[fault.kind] + 1)
    ]
