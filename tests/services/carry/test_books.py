"""The books from the command line: verified, explained, and what a person asks of the executor."""

import asyncio
from pathlib import Path

import pytest

from services.carry import books
from shared.store.pool import open_pool
from tests.services.carry.test_cli import carry
from tests.support.executor import running, venue
from tests.support.servers import Database, connected

NOWHERE = Path("nowhere")


async def opened(database: Database) -> None:
    async with (
        open_pool(database.dsn_for("carry_executor"), application="test") as pool,
        running(pool, venue()) as rig,
    ):
        await rig.want("1")
        await rig.finished(1)


async def test_books_that_hold_are_said_to_and_a_changed_row_is_named(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(database)
    dsn = database.dsn_for("carry_reader")
    capsys.readouterr()
    assert await books.verify(dsn, NOWHERE) == 0
    assert capsys.readouterr().out == "5 groups: the chain holds and the books follow from it.\n"
    async with connected(database.owner_dsn) as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute("UPDATE ledger.posting_group SET asset = 'X' WHERE id = 4")
    assert await books.verify(dsn, NOWHERE) == 1
    said = capsys.readouterr().out
    assert said.startswith("broken: group 4, ")
    assert said.endswith("3 groups before it hold\n")


async def test_a_group_is_explained_down_to_its_plan(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(database)
    dsn = database.dsn_for("carry_reader")
    capsys.readouterr()
    assert await books.explain(5, dsn, NOWHERE) == 0
    said = capsys.readouterr().out
    # Sold 1 at 9,999.5 where the mid was 10,000, for a fee of 0.055 %.
    assert "trade of BTCUSDT" in said
    assert "the venue's row: TRADE, cash_flow 0, funding 0, fee 5.499725, change -5.499725" in said
    assert "at 9999.5; the mid was 10000" in said
    assert "(hedged): worth_opening" in said
    assert await books.explain(99, dsn, NOWHERE) == 1


async def test_what_is_asked_for_is_done_by_the_executor(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = database.dsn_for("carry_commander")
    async with (
        open_pool(database.dsn_for("carry_executor"), application="test") as pool,
        running(pool, venue()),
    ):
        assert await books.command("ignore", "BTCUSDT", "why", dsn, NOWHERE) == 0
        assert await books.command("adopt", "XUSDT", "why", dsn, NOWHERE) == 1
    said = capsys.readouterr().out
    assert "carry ignore BTCUSDT: done\n" in said
    assert "carry adopt XUSDT: refused: XUSDT is not traded here\n" in said
    monkeypatch.setattr(books, "WAIT_SECONDS", 0)
    assert await books.command("adopt", "BTCUSDT", "why", dsn, NOWHERE) == 1
    assert "asked for as command 3" in capsys.readouterr().out


def test_a_command_needs_a_reason_and_a_database(database: Database) -> None:
    assert carry("adopt", "BTCUSDT").returncode == 2
    dsn = database.dsn_for("carry_reader")
    done = carry("ledger", "verify", CARRY_DATABASE_URL=dsn)
    assert (done.returncode, done.stdout) == (
        0, "0 groups: the chain holds and the books follow from it.\n",
    )  # fmt: skip
    assert asyncio.run(books.explain(1, dsn, NOWHERE)) == 1
