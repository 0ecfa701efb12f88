"""The migrated database is what ``tables.py`` says, whatever server it is on."""

import asyncio
import os
from datetime import UTC, datetime

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    UniqueConstraint,
)
from sqlalchemy.engine import make_url
from sqlalchemy.schema import ColumnCollectionConstraint

from shared.domain.errors import Misconfigured
from shared.store.migrate import (
    EXPECTED_VERSION,
    MIGRATIONS,
    ROLES,
    _upgrade_sql,
    check_durability,
    check_schema,
    claim_installation,
    migrate,
    role_dsn,
    set_passwords,
)
from shared.store.tables import HYPERTABLES, METADATA, SCHEMAS, WRITERS
from tests.support.servers import TIMESCALEDB_IMAGE_KEY, Database, connected

PLAN_OF_0002 = """
    INSERT INTO execution.plan VALUES ('p', 'i', 'BTCUSDT', 1, 's', 'flat', 'r', 0, 0, 0, now(),
        now(), 'c', now(), now())"""
ATTEMPT_OF_0002 = """
    INSERT INTO execution.attempt VALUES ('l', 'p', 's', 1, 'spot', 'BTCUSDT', 'Buy', 1, 1, false,
        'first', 'rejected', 1, 2, now(), NULL, NULL, NULL, 0, 0, 'c', now(), now())"""
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

KINDS = {PrimaryKeyConstraint: "p", UniqueConstraint: "u", ForeignKeyConstraint: "f"}

COLUMNS = """
    SELECT n.nspname || '.' || c.relname AS "table", a.attname AS name,
           format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
           a.attidentity <> '' AS identity
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = ANY($1)
    ORDER BY 1, a.attnum"""
KEYS = """
    SELECT n.nspname || '.' || c.relname AS "table", k.contype::text AS kind,
           (SELECT array_agg(a.attname::text ORDER BY u.position)
            FROM unnest(k.conkey) WITH ORDINALITY u (number, position)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number) AS columns,
           (SELECT fn.nspname || '.' || f.relname
            FROM pg_class f JOIN pg_namespace fn ON fn.oid = f.relnamespace
            WHERE f.oid = k.confrelid) AS target
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND k.contype IN ('p', 'u', 'f')"""
PRIVILEGES = """
    SELECT table_schema || '.' || table_name AS "table", privilege_type AS privilege
    FROM information_schema.role_table_grants WHERE grantee = $1 AND table_schema = ANY($2)"""


async def test_every_column_is_as_the_tables_describe_it(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(COLUMNS, list(SCHEMAS))
    found = [tuple(row) for row in rows]
    dialect = make_url("postgresql://").get_dialect()()
    described = [
        (
            table.fullname,
            column.name,
            column.type.compile(dialect).lower(),
            not column.nullable,
            column.identity is not None,
        )
        for table in METADATA.tables.values()
        for column in table.columns
    ]
    assert len(found) > 200
    assert sorted(found) == sorted(described)


async def test_every_key_is_as_the_tables_describe_it(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(KEYS, list(SCHEMAS))
    found = {(r["table"], r["kind"], tuple(r["columns"]), r["target"]) for r in rows}
    described: set[tuple[str, str, tuple[str, ...], str | None]] = set()
    for table in METADATA.tables.values():
        for constraint in table.constraints:
            assert isinstance(constraint, ColumnCollectionConstraint)
            columns = tuple(column.name for column in constraint.columns)
            target = None
            if isinstance(constraint, ForeignKeyConstraint):
                target = constraint.referred_table.fullname
            described.add((table.fullname, KINDS[type(constraint)], columns, target))
    assert ("market.funding_settlement", "p", ("symbol", "settled_at"), None) in found
    assert found == described


@pytest.mark.parametrize("role", sorted(WRITERS))
async def test_a_role_may_insert_into_its_own_tables_and_the_ops_rows_alone(
    database: Database, role: str
) -> None:
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(PRIVILEGES, role, list(SCHEMAS))
    inserts = {row["table"] for row in rows if row["privilege"] == "INSERT"}
    assert {table for table in inserts if not table.startswith("ops.")} == own_tables(role)
    assert {table for table in inserts if table.startswith("ops.")} == {
        "ops.installation", "ops.outbox", "ops.outbox_sequence", "ops.cursor", "ops.heartbeat",
        "ops.dead_letter",
    }  # fmt: skip


async def test_the_watchdog_may_do_what_the_executor_may_and_nothing_else(
    database: Database,
) -> None:
    async with connected(database.owner_dsn) as connection:
        memberships = await connection.fetch(
            "SELECT r.rolname AS role FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid "
            "JOIN pg_roles w ON w.oid = m.member WHERE w.rolname = 'carry_watchdog'"
        )
        own = await connection.fetch(PRIVILEGES, "carry_watchdog", list(SCHEMAS))
    assert [m["role"] for m in memberships] == ["carry_executor"]
    assert own == []


@pytest.mark.parametrize("role", [role for role in ROLES if role != "carry_watchdog"])
async def test_every_role_reads_everything(database: Database, role: str) -> None:
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(PRIVILEGES, role, list(SCHEMAS))
    assert {r["table"] for r in rows if r["privilege"] == "SELECT"} == set(METADATA.tables)


async def test_the_reader_only_reads(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(PRIVILEGES, "carry_reader", list(SCHEMAS))
    assert {row["privilege"] for row in rows} == {"SELECT"}


async def test_nobody_may_change_or_remove_what_the_ledger_holds(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        granted = {
            (row["table"], row["privilege"])
            for role in ROLES
            for row in await connection.fetch(PRIVILEGES, role, ["ledger"])
        }
    derived = {"ledger.life", "ledger.daily", "ledger.perp"}  # made anew from the rows at any time
    assert {p for table, p in granted if table not in derived} == {"SELECT", "INSERT"}
    assert {p for table, p in granted if table in derived} == {"SELECT", "INSERT", "UPDATE"}


async def test_time_series_are_hypertables_where_timescaledb_is(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        is_there = await connection.fetchval(
            "SELECT to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL"
        )
        assert is_there or TIMESCALEDB_IMAGE_KEY not in os.environ
        if is_there:
            rows = await connection.fetch(
                "SELECT hypertable_schema || '.' || hypertable_name AS name, column_name AS time "
                "FROM timescaledb_information.dimensions"
            )
            assert {row["name"]: row["time"] for row in rows} == HYPERTABLES
        else:
            kinds = await connection.fetch(
                "SELECT relkind::text FROM pg_class WHERE oid = ANY($1::regclass[]::oid[])",
                list(HYPERTABLES),
            )
            assert [row["relkind"] for row in kinds] == ["r"] * len(HYPERTABLES)


def test_the_code_expects_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == EXPECTED_VERSION


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await migrate(database.owner_dsn)
    async with connected(database.owner_dsn) as connection:
        await check_schema(connection)


async def test_an_older_schema_is_brought_forward_and_orders_keep_their_states(
    empty_database: Database,
) -> None:
    async with connected(empty_database.owner_dsn) as connection:
        await connection.execute("SET search_path = public")
        await connection.execute(await asyncio.to_thread(_upgrade_sql, None, "0002"))
        await connection.execute(PLAN_OF_0002)
        await connection.execute(ATTEMPT_OF_0002)
        await migrate(empty_database.owner_dsn)
        await check_schema(connection)
        states = await connection.fetch("SELECT state FROM execution.attempt")
        sends = await connection.fetch("SELECT number FROM execution.send ORDER BY number")
    assert [row["state"] for row in states] == ["rejected"]
    assert [row["number"] for row in sends] == [1, 2]


async def test_two_services_that_start_together_migrate_once(empty_database: Database) -> None:
    await asyncio.gather(migrate(empty_database.owner_dsn), migrate(empty_database.owner_dsn))
    async with connected(empty_database.owner_dsn) as connection:
        await check_schema(connection)


async def test_a_service_refuses_an_old_schema_and_names_the_remedy(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(Misconfigured, match=r"has schema version 0001 .* `carry db migrate`"):
            await check_schema(connection)


async def test_a_service_refuses_a_database_without_schema(empty_database: Database) -> None:
    async with connected(empty_database.owner_dsn) as connection:
        with pytest.raises(Misconfigured, match=r"no schema yet .* `carry db migrate`"):
            await check_schema(connection)


async def test_an_older_release_leaves_a_newer_schema_alone(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Misconfigured, match=r"9999 .* newer release"):
        await migrate(database.owner_dsn)


async def test_a_server_without_fsync_is_refused(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        await connection.execute("SET synchronous_commit = off")
        with pytest.raises(Misconfigured, match=r"may lose acknowledged orders"):
            await check_durability(connection)


async def test_the_first_service_claims_the_database_and_the_next_finds_its_epoch(
    database: Database,
) -> None:
    later = datetime(2026, 3, 2, tzinfo=UTC)
    async with connected(database.dsn_for("carry_collector")) as connection:
        assert await claim_installation(connection, "replay", "main", NOW) == 1772366400
    async with connected(database.dsn_for("carry_executor")) as connection:
        assert await claim_installation(connection, "replay", "main", later) == 1772366400


@pytest.mark.parametrize(("venue", "account"), [("live", "main"), ("replay", "second")])
async def test_a_database_of_another_venue_or_account_is_refused(
    database: Database, venue: str, account: str
) -> None:
    async with connected(database.dsn_for("carry_strategy")) as connection:
        await claim_installation(connection, "replay", "main", NOW)
        with pytest.raises(Misconfigured) as refusal:
            await claim_installation(connection, venue, account, NOW)
    assert "'replay', account 'main'" in str(refusal.value)
    assert f"{venue!r}, account {account!r}" in str(refusal.value)


async def test_a_role_enters_with_its_new_password_only(database: Database) -> None:
    strange = "p'w\"%d;--@:/$ x"
    await set_passwords(database.owner_dsn, {"carry_backtest": strange})
    try:
        async with connected(role_dsn(database.owner_dsn, "carry_backtest", strange)) as connection:
            assert await connection.fetchval("SELECT current_user") == "carry_backtest"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(database.dsn_for("carry_backtest"))
    finally:
        await set_passwords(database.owner_dsn, database.passwords)


@pytest.mark.parametrize("passwords", [{"postgres": "x"}, {"carry_reader": ""}])
async def test_passwords_of_strangers_and_empty_ones_are_refused(
    database: Database, passwords: dict[str, str]
) -> None:
    with pytest.raises(Misconfigured):
        await set_passwords(database.owner_dsn, passwords)


def own_tables(role: str) -> set[str]:
    return {
        name
        for pattern in WRITERS[role]
        for name in METADATA.tables
        if name == pattern or (pattern.endswith(".*") and name.startswith(pattern[:-1]))
    }
