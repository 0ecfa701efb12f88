"""Makes the books again from the venue's rows and says where what is stored differs."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from asyncpg import Connection

from services.executor import ledger
from services.executor.guard import Guard
from services.executor.journal import Journal
from shared.domain.books import Booked, Books, DayKey
from shared.domain.money import plain
from shared.domain.position import PairPosition
from shared.domain.profit import PARTS, Life, Parts, Stake
from shared.runtime.clock import Clock
from shared.store.books import read_books, read_days, read_lives
from shared.store.ledger import Head, Link, chained_hash, read_chain
from shared.store.positions import read_rebuilt

AUDIT_SECONDS: Final = 3_600.0
NAMED_MAX: Final = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Audit:
    """``groups`` walked; ``broken`` names the first bad row, ``differences`` what was derived."""

    groups: int
    broken: str | None
    differences: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything stored is what the rows make."""
        return self.broken is None and not self.differences


async def audit(connection: Connection) -> Audit:
    """Walk the chain from genesis (R:M12) and make every derived table anew (R:S12).

    Derived tables compare by the text of their digits, trailing zeros apart.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        books, booked, head = Books(), Booked(), Head()
        async for link in read_chain(connection):
            if (why := _broken(link, head)) is not None:
                return Audit(head.id, f"group {link.id}, {link.group.key}: {why}", ())
            head = Head(link.id, link.hash)
            if link.owned is not None:
                _merge(booked, books.book([link.owned]))
            await asyncio.sleep(0)
        found = [
            *_compared("life", _lives(booked.lives), _lives(await read_lives(connection))),
            *_compared("day", _days(booked.days), _days(await read_days(connection))),
            *_differing_books(books, await read_books(connection)),
            *(
                f"position of {pair}: stored {_position(stored)}, its fills make {_position(made)}"
                for pair, stored, made in await read_rebuilt(connection)
                if _position(stored) != _position(made)
            ),
        ]
    return Audit(head.id, None, tuple(found[:NAMED_MAX]))


class Auditor:
    """Audits each hour, and once at the start; while anything differs nothing is opened (F:L3)."""

    def __init__(self, journal: Journal, clock: Clock, guard: Guard, ready: asyncio.Event) -> None:
        self._guard = guard
        self._journal = journal
        self._clock = clock
        self._ready = ready

    async def run(self) -> None:
        """Audit, for ever; what differs is alarmed."""
        await self._ready.wait()
        while True:
            async with self._journal.pool.acquire() as connection:
                done = await audit(connection)
            log.info("books_audited", groups=done.groups, is_clean=done.is_clean)
            detail = done.broken or "; ".join(done.differences) or None
            self._guard.report("books", detail)
            if detail is not None:
                await self._journal.alarm("books_differ", detail)
            await self._clock.sleep(AUDIT_SECONDS)


def _broken(link: Link, head: Head) -> str | None:
    """Return why a group is not what was booked; None when it is."""
    if (link.id, link.previous_hash) != (head.id + 1, head.hash):
        return "it does not follow the group before it"
    if link.hash != chained_hash(head.hash, link.group):
        return "its hash is not that of what it says"
    if link.owned is None:
        return "the row it was made from is missing"
    if chained_hash(head.hash, ledger.booked(link.owned)) != link.hash:
        return "its row books something else"
    return None


def _merge(whole: Booked, part: Booked) -> None:
    whole.lives.update(part.lives)
    for key, earned in part.days.items():
        whole.days[key] = whole.days.get(key, Parts()) + earned


def _compared(what: str, made: dict[str, str], stored: dict[str, str]) -> list[str]:
    return [
        f"{what} {key}: stored {stored.get(key, 'nothing')}, made {made.get(key, 'nothing')}"
        for key in sorted({*made, *stored})
        if made.get(key) != stored.get(key)
    ]


def _differing_books(made: Books, stored: Books) -> list[str]:
    found: list[str] = []
    for name in ("wallet", "brought"):
        found += _compared(
            name,
            {k: plain(v) for k, v in getattr(made, name).items() if v},
            {k: plain(v) for k, v in getattr(stored, name).items() if v},
        )
    return found + _compared(
        "perpetual",
        {k: _stake(v) for k, v in made.perps.items()},
        {k: _stake(v) for k, v in stored.perps.items()},
    )


def _lives(lives: dict[tuple[str, int], Life]) -> dict[str, str]:
    return {
        f"{pair} {number}": f"{life.opened_at.isoformat()} "
        f"{'' if life.closed_at is None else life.closed_at.isoformat()} "
        f"{_stake(life.coin)} {_stake(life.perp)} {_parts(life.parts)}"
        for (pair, number), life in lives.items()
    }


def _days(days: dict[DayKey, Parts]) -> dict[str, str]:
    return {" ".join(map(str, key)): _parts(parts) for key, parts in days.items()}


def _stake(stake: Stake) -> str:
    return f"{plain(stake.quantity)} for {plain(stake.cost)}"


def _parts(parts: Parts) -> str:
    return " ".join(plain(getattr(parts, name)) for name in PARTS)


def _position(position: PairPosition) -> str:
    return (
        f"spot {plain(position.spot_quantity)} for {plain(position.spot_value)}, "
        f"perp {plain(position.perp_quantity)} for {plain(position.perp_value)}"
    )
