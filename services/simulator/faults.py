"""Decides what goes wrong: asked for every request and every socket event, by script and seed."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Final

from services.simulator.script import EVENT_KINDS, MOMENT_KINDS, REQUEST_KINDS, Fault, Script
from shared.runtime.clock import Clock

DRAWS: Final = 2**64
REMEMBERED: Final = 10_000
LEAST_MS: Final = 1_000  # how long a pool is empty at least: what is told every second tells it
LASTING: Final = ("maintenance", "key_revoked")
KEYED: Final = ("private", "trade")  # the channels that a key opens


class Faults:
    """The script at work; ``fired`` holds a line for each fault that struck, the newest last.

    Every fault counts what it meets and draws by hashing (seed, fault, count): no draw depends on
    another. Of several that would strike, the first in the script does.
    """

    def __init__(self, script: Script, now_ms: Callable[[], int], wall: Clock) -> None:
        self._script = script
        self._now_ms = now_ms
        self._wall = wall
        self._met = [0] * len(script.faults)
        self._begun: set[int] = set()
        self._shut: list[tuple[Fault, float]] = []
        self._born: dict[str, float] = {}
        self._hides = [f for f in script.faults if f.kind == "invisible"]
        self.fired: deque[str] = deque(maxlen=REMEMBERED)

    def request(self, path: str, symbol: str, *, private: bool) -> Fault | None:
        """Return what goes wrong with a request to ``path``, if anything does."""
        now = self._now_ms()
        if any(fault.kind == "restart" for fault in self._shutting(path)):
            return Fault("error", code=10016, message="Service is restarting.")
        for fault in self._script.faults:
            if fault.kind in LASTING and fault.holds(now):
                if fault.kind == "maintenance":
                    return fault
                if private:
                    return Fault("error", code=10003, message="API key is invalid.")
        return self._strikes(REQUEST_KINDS, path, symbol)

    def event(self, channel: str, topic: str) -> Fault | None:
        """Return what goes wrong with one message on one socket, if anything does."""
        return self._strikes(EVENT_KINDS, f"{channel}/{topic}", topic.rpartition(".")[2])

    def skew(self) -> timedelta:
        """Return by how much the venue's wall clock is fast (+) or slow (-)."""
        now = self._now_ms()
        skews = (f.seconds for f in self._script.faults if f.kind == "clock_skew" and f.holds(now))
        return timedelta(seconds=sum(skews))

    def moments(self) -> list[Fault]:
        """Return what has begun since the last call: restarts and the like."""
        now = self._now_ms()
        begun = []
        for place, fault in enumerate(self._script.faults):
            if fault.kind in MOMENT_KINDS and place not in self._begun and fault.from_ms <= now:
                self._begun.add(place)
                self._note(place, fault, fault.where)
                begun.append(fault)
                if fault.seconds:
                    self._shut.append((fault, self._wall.monotonic() + fault.seconds))
        return begun

    def pressed(self) -> frozenset[str]:
        """Return the symbols that are about to be deleveraged, or are being."""
        now = self._now_ms()
        return frozenset(
            f.symbol
            for f in self._script.faults
            if f.kind == "deleveraging"
            and f.from_ms - f.notice_seconds * 1000 <= now
            and now < (f.from_ms + LEAST_MS if f.until_ms is None else f.until_ms)
        )

    def refuses(self, channel: str) -> bool:
        """Return whether a socket of ``channel`` cannot be opened now."""
        now = self._now_ms()
        lasting = (f.kind for f in self._script.faults if f.kind in LASTING and f.holds(now))
        return bool(self._shutting(channel)) or any(
            kind == "maintenance" or channel in KEYED for kind in lasting
        )

    def born(self, order_ids: Iterable[str]) -> None:
        """Remember when orders came to be, while reads may lag."""
        if not self._hides:
            return
        now = self._wall.monotonic()
        oldest = now - max(f.seconds for f in self._hides)
        self._born = {k: at for k, at in self._born.items() if at >= oldest}
        for order_id in order_ids:
            self._born.setdefault(order_id, now)

    def hidden(self, path: str) -> frozenset[str]:
        """Return the ids of orders that a read of ``path`` does not show yet."""
        now, venue = self._wall.monotonic(), self._now_ms()
        lags = [f.seconds for f in self._hides if f.holds(venue) and fnmatchcase(path, f.where)]
        lag = max(lags, default=0.0)
        return frozenset(each for each, at in self._born.items() if now - at < lag)

    def status(self) -> list[dict[str, Any]]:
        """Return the rows of system/status: maintenance that was announced, or is on."""
        now = self._now_ms()
        rows = []
        for number, fault in enumerate(self._script.faults, 1):
            if fault.kind != "maintenance" or now < fault.from_ms - fault.notice_seconds * 1000:
                continue
            over = fault.until_ms is not None and now >= fault.until_ms
            state = "completed" if over else "ongoing" if fault.holds(now) else "scheduled"
            rows.append(
                {
                    "id": f"{number:08d}",
                    "title": fault.message,
                    "state": state,
                    "begin": str(fault.from_ms),
                    "end": str(fault.until_ms or 0),
                    "href": "",
                    "serviceTypes": [1, 2, 3, 4, 5],
                    "product": [1, 2],
                    "uidSuffix": [],
                    "maintainType": "1" if fault.notice_seconds else "3",
                    "env": "1",
                }
            )
        return rows

    def _strikes(self, kinds: frozenset[str], what: str, symbol: str) -> Fault | None:
        now = self._now_ms()
        for place, fault in enumerate(self._script.faults):
            if fault.kind not in kinds or not fault.holds(now):
                continue
            if fault.symbol not in ("", symbol) or not fnmatchcase(what, fault.where):
                continue
            self._met[place] += 1
            met = self._met[place]
            if (met in fault.nth) if fault.nth else self._drawn(place, met, fault.rate):
                self._note(place, fault, what)
                return fault
        return None

    def _drawn(self, place: int, met: int, rate: Decimal) -> bool:
        if rate == 1:
            return True
        what = b"%d %d %d" % (self._script.seed, place, met)
        return int.from_bytes(blake2b(what, digest_size=8).digest(), "big") < rate * DRAWS

    def _shutting(self, what: str) -> list[Fault]:
        """Return the restarts and cuts that still keep ``what`` out."""
        now = self._wall.monotonic()
        self._shut = [(fault, until) for fault, until in self._shut if until > now]
        return [fault for fault, _ in self._shut if fnmatchcase(what, fault.where)]

    def _note(self, place: int, fault: Fault, what: str) -> None:
        self.fired.append(f"{self._now_ms()} {place + 1} {fault.kind} {what} {self._met[place]}")


class SkewedClock:
    """The wall clock of a venue that may have it wrong; waiting is as long as ever."""

    def __init__(self, wall: Clock, faults: Faults) -> None:
        self._wall = wall
        self._faults = faults

    def now(self) -> datetime:
        """Return what the venue takes for the time."""
        return self._wall.now() + self._faults.skew()

    def monotonic(self) -> float:
        """Return the true monotonic seconds."""
        return self._wall.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait truly."""
        await self._wall.sleep(seconds)
