"""History as a run meets it: which hours there are, who is quoted in each, what settles when."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.domain.funding import FundingSettlement
from shared.history.ledger import Ledger, ledger_of
from shared.history.records import HOUR_MS, Bar, History, MalformedHistory, Settlement

QUOTES_AFTER: Final = timedelta(seconds=60)


class Timeline:
    """The hours in [start, end) of the pairs ``names``; a pair is alive from its first bar on."""

    def __init__(self, history: History, names: Iterable[str], start_ms: int, end_ms: int) -> None:
        self._start_ms, self._end_ms = start_ms, end_ms
        self._history = {name: history.symbols[name] for name in names}
        self.bars: Mapping[str, Mapping[int, Bar]] = {
            name: {bar.at_ms: bar for bar in part.bars} for name, part in self._history.items()
        }
        self._stamps = {
            name: [s.at_ms for s in part.settlements] for name, part in self._history.items()
        }
        self._ends = {n: part.bars[-1].at_ms for n, part in self._history.items() if part.bars}

    def hours(self) -> list[int]:
        """Return the full hours in which anybody is quoted, or settles, within the run."""
        after = int(QUOTES_AFTER.total_seconds()) * 1000
        instants = set[int]().union(*self.bars.values())
        for name, end in self._ends.items():
            begins = min(self.bars[name])
            instants |= {at for at in self._stamps[name] if begins <= at <= end}
        return sorted(t for t in instants if self._start_ms <= t and t + after < self._end_ms)

    def gaps(self, *, allowed: bool) -> int:
        """Return how many settlements and hours are missing within the run, for pairs alive then.

        Raises: MalformedHistory with the first of them unless they are ``allowed``.
        """
        count = 0
        for name, part in self._history.items():
            ledger = ledger_of(part)
            missing = self._within(ledger)
            if missing and not allowed:
                at, what = min(missing)
                raise MalformedHistory(
                    f"{name}: {what} of {instant_of(at).isoformat()} is missing; import it, run up "
                    "to it, or say --allow-gaps"
                )
            count += len(missing)
        return count

    def quoted(self, at_ms: int) -> tuple[str, ...]:
        """Return who has a bar that ends at a full hour, by name."""
        return tuple(name for name, bars in self.bars.items() if at_ms in bars)

    def universe(self, at_ms: int) -> tuple[str, ...]:
        """Return who is listed at a full hour: the first bar has come, the last has not passed."""
        return tuple(
            name
            for name, part in self._history.items()
            if part.bars and part.bars[0].at_ms <= at_ms <= self._ends[name]
        )

    def has_ended(self, name: str, at_ms: int) -> bool:
        """Whether a pair's record is over: nobody could trade it any more."""
        return at_ms > self._ends.get(name, 0)

    def settlement(self, name: str, at_ms: int) -> Settlement | None:
        """Return what settles at an instant, None when nothing does."""
        stamps = self._stamps[name]
        place = bisect_left(stamps, at_ms)
        if place == len(stamps) or stamps[place] != at_ms:
            return None
        return self._history[name].settlements[place]

    def before(self, name: str) -> list[Settlement]:
        """Return what settled up to the start of the run, oldest first."""
        place = bisect_right(self._stamps[name], self._start_ms)
        return list(self._history[name].settlements[:place])

    def next_funding(self, name: str, at_ms: int) -> tuple[datetime | None, timedelta | None]:
        """Return when the venue is known to settle next, and the interval that ends then.

        The schedule is public, the rate is not. A change of the interval is not announced: it is
        known once the first of the new intervals has begun; until then the old one goes on.
        """
        settlements = self._history[name].settlements
        if not settlements:
            return None, None
        place = bisect_right(self._stamps[name], at_ms)
        if place < len(settlements):
            coming = settlements[place]
            begins = coming.at_ms - coming.interval_hours * HOUR_MS
            if place == 0 or begins <= at_ms:
                return instant_of(coming.at_ms), timedelta(hours=coming.interval_hours)
        last = settlements[place - 1]
        interval = last.interval_hours * HOUR_MS
        passed = (at_ms - last.at_ms) // interval
        due = last.at_ms + (passed + 1) * interval
        return instant_of(due), timedelta(hours=last.interval_hours)

    def _within(self, ledger: Ledger) -> list[tuple[int, str]]:
        found = [(at, "the settlement") for at in ledger.missing]
        found += [(at, "the hour that ends") for at in ledger.bars_missing]
        return [(at, what) for at, what in found if self._start_ms < at < self._end_ms]


def coverage(history: History) -> Mapping[str, tuple[datetime, datetime]]:
    """Return the first and the last bar's close of each symbol."""
    return {
        name: (instant_of(part.bars[0].at_ms), instant_of(part.bars[-1].at_ms))
        for name, part in history.symbols.items()
        if part.bars
    }


def settlement_of(name: str, settled: Settlement) -> FundingSettlement:
    """Return a recorded settlement as the core takes it."""
    interval = timedelta(hours=settled.interval_hours)
    return FundingSettlement(name, settled.rate, instant_of(settled.at_ms), interval)


def instant_of(at_ms: int) -> datetime:
    """Return UTC milliseconds as an instant."""
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def ms_of(at: datetime) -> int:
    """Return an instant as UTC milliseconds."""
    return int(at.timestamp()) * 1000
