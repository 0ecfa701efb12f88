"""The venue's books in one SQLite file: committed before anything is acknowledged."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import aiosqlite

Row = tuple[str, int, Mapping[str, Any]]

CREATE: Final = """
    CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS record (
        kind TEXT NOT NULL, place INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, place)
    ) WITHOUT ROWID;
"""
PUT_HEAD: Final = "INSERT OR REPLACE INTO head VALUES (1, ?)"
PUT_RECORD: Final = "INSERT OR REPLACE INTO record VALUES (?, ?, ?)"
READ_HEAD: Final = "SELECT body FROM head"
READ_RECORDS: Final = "SELECT kind, body FROM record ORDER BY kind, place"
KINDS: Final = ("orders", "executions", "log")


class Books(Protocol):
    """Where the desk keeps what it has acknowledged."""

    async def load(self) -> dict[str, Any] | None:
        """Return what was saved last, as ``Exchange.restore`` takes it; None when new."""

    async def save(self, head: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Commit the head and the rows that are new or changed, all or nothing."""


class NoBooks:
    """Keeps nothing: for a venue whose account ends with its process."""

    async def load(self) -> dict[str, Any] | None:
        """Return None: there is nothing to go on with."""
        return None

    async def save(self, head: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Do nothing."""


class BookStore:
    """The account's rows by (kind, place), and one head that holds what changes."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def load(self) -> dict[str, Any] | None:
        """Return what was saved last, as ``Exchange.restore`` takes it; None when new."""
        async with self._connection.execute(READ_HEAD) as cursor:
            head = await cursor.fetchone()
        if head is None:
            return None
        state: dict[str, Any] = {"head": json.loads(head[0]), **{kind: [] for kind in KINDS}}
        async with self._connection.execute(READ_RECORDS) as cursor:
            async for kind, body in cursor:
                state[kind].append(json.loads(body))
        return state

    async def save(self, head: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Commit the head and the rows that are new or changed, all or nothing."""
        await self._connection.execute(PUT_HEAD, (_text(head),))
        records = [(kind, place, _text(body)) for kind, place, body in rows]
        if records:
            await self._connection.executemany(PUT_RECORD, records)
        await self._connection.commit()


@asynccontextmanager
async def open_store(path: Path | None) -> AsyncIterator[Books]:
    """Open or create the file, or none for None; it is closed behind the block."""
    if path is None:
        yield NoBooks()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    async with aiosqlite.connect(path) as connection:
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = NORMAL")
        await connection.executescript(CREATE)
        yield BookStore(connection)


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
