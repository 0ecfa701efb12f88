"""The books made again from the venue's rows are the books; one wrong digit anywhere is named."""

from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.executor.audit import AUDIT_SECONDS, Audit, audit
from shared.domain.errors import Misconfigured
from shared.store.pool import WritePool
from tests.support.executor import MS, running, venue
from tests.support.markets import INSTANT
from tests.support.servers import Database, connected


async def a_day(pool: WritePool) -> None:
    """Open, be paid, deposit, close: the books of a small day."""
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        exchange.advance(MS + 8 * 3_600_000)
        exchange.settle("BTCUSDT", Decimal("0.0003"))
        exchange._account.deposit({"USDT": Decimal(50)}, exchange.now_ms)
        rig.gateway.push()
        await rig.want("0", minutes=600)
        rig.quote(INSTANT + timedelta(minutes=600))
        await rig.finished(2)


async def audited(database: Database) -> Audit:
    async with connected(database.dsn_for("carry_reader")) as connection:
        return await audit(connection)


async def test_s12_the_rows_make_the_same_books_again(database: Database, pool: WritePool) -> None:
    await a_day(pool)
    done = await audited(database)
    assert done == Audit(done.groups, None, ())
    # Seen and opening, two rows a spot fill, one a perpetual's, funding, deposit.
    assert done.groups == 2 + 2 * 2 + 2 + 1 + 1


DELETE_GROUP_6 = """
    DELETE FROM ledger.log_row WHERE group_id = 6;
    DELETE FROM ledger.entry WHERE group_id = 6;
    DELETE FROM ledger.posting_group WHERE id = 6"""
TAMPERED = [
    ("UPDATE ledger.entry SET amount = amount + 0.01 WHERE group_id = 3 AND line = 0",
     "group 3", "its hash is not that of what it says"),
    ("UPDATE ledger.posting_group SET pair = NULL WHERE id = 4",
     "group 4", "its hash is not that of what it says"),
    ("UPDATE ledger.posting_group SET hash = repeat('0', 64) WHERE id = 5",
     "group 5", "its hash is not that of what it says"),
    (DELETE_GROUP_6,
     "group 7", "it does not follow the group before it"),
    ("UPDATE ledger.log_row SET funding = funding * 2 WHERE kind = 'SETTLEMENT'",
     "group 6", "its row books something else"),
    ("DELETE FROM ledger.log_row WHERE group_id = 3",
     "group 3", "the row it was made from is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "group", "why"), TAMPERED)
async def test_m12_the_first_bad_row_is_named(
    database: Database, pool: WritePool, statement: str, group: str, why: str
) -> None:
    await a_day(pool)
    async with connected(database.owner_dsn) as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(statement)
    broken = (await audited(database)).broken
    assert broken is not None
    assert broken.startswith(f"{group}, ")
    assert broken.endswith(why)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE ledger.daily SET slippage = slippage - 0.00000001", "day 2023-11-11 BTCUSDT USDT"),
        ("UPDATE ledger.life SET fees = 0", "life BTCUSDT 1"),
        ("DELETE FROM ledger.life", "life BTCUSDT 1: stored nothing"),
        ("INSERT INTO ledger.perp VALUES ('XUSDT', 1, 1)", "perpetual XUSDT"),
        ("UPDATE execution.position SET spot_value = spot_value + 1", "position of BTCUSDT"),
        ("DELETE FROM execution.fill WHERE category = 'spot' AND side = 'Buy'",
         "position of BTCUSDT"),
        ("UPDATE ledger.log_row SET reference_price = 9999 WHERE reference_price IS NOT NULL",
         "life BTCUSDT 1"),
    ],
)  # fmt: skip
async def test_s12_what_was_derived_wrongly_is_named(
    database: Database, pool: WritePool, statement: str, named: str
) -> None:
    await a_day(pool)
    async with connected(database.owner_dsn) as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(statement)
    done = await audited(database)
    assert done.broken is None
    assert any(named in difference for difference in done.differences)


async def test_l3_what_differs_is_alarmed_at_the_next_start_and_pauses_entries(
    database: Database, pool: WritePool
) -> None:
    await a_day(pool)
    async with connected(database.owner_dsn) as owner:
        await owner.execute("UPDATE ledger.daily SET fees = fees + 1")
    exchange = venue()
    exchange.advance(MS + 9 * 3_600_000)
    async with running(pool, exchange) as rig:
        for _ in range(500):
            if "books_differ" in await rig.alarms():
                break
        assert "books_differ" in await rig.alarms()
        await rig.want("1", minutes=600)
        rig.quote(INSTANT + timedelta(minutes=600))
        reason = str((await rig.finished(3))[2]["reason"])
        assert reason.startswith("ledger_differs: books: day 2023-11-11 ")


def test_l3_a_row_that_is_tampered_with_is_named_within_the_hour() -> None:
    assert AUDIT_SECONDS <= 3_600


async def test_books_without_the_venues_rows_are_refused(
    database: Database, pool: WritePool
) -> None:
    await a_day(pool)
    async with connected(database.owner_dsn) as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute("DELETE FROM ledger.log_row")
    with pytest.raises(Misconfigured, match="older release"):
        async with running(pool, venue()):
            pass


async def test_nobody_of_the_services_can_change_a_row(pool: WritePool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE ledger.log_row SET fee = 0")
