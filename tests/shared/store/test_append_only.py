"""The rules that the database itself holds: M1 and M2 for the ledger, M9 for settled rates."""

from typing import Any

import asyncpg
import pytest

from tests.support.servers import Database, connected

ENTRY = "INSERT INTO ledger.entry VALUES ($1, $2, $3, $4, $5::text::numeric)"
LOG_ROW = (
    "INSERT INTO ledger.log_row VALUES (1, 'k', 'TRADE', 'spot', 'S', 'USDT', 'Buy', 1, 1, 1, 0, "
    "0, 1, 1, 'e', 'o', 'l', now(), NULL, '', NULL, 0, NULL, false)"
)
Line = tuple[str, str, str]


async def book(connection: Any, group: int, lines: list[Line]) -> None:
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO ledger.posting_group VALUES ($1, $2, 'trade', NULL, NULL, 'USDT', 0, "
            "now(), NULL, '', '', now())",
            group,
            f"key {group}",
        )
        for number, (account, asset, amount) in enumerate(lines):
            await connection.execute(ENTRY, group, number, account, asset, amount)


async def test_m1_a_group_that_sums_to_zero_in_each_asset_commits(database: Database) -> None:
    async with connected(database.dsn_for("carry_executor")) as connection:
        await book(
            connection,
            1,
            [
                ("wallet", "USDT", "-100.10"),
                ("trading", "USDT", "100.10"),
                ("wallet", "BTC", "0.000000000000000001"),
                ("trading", "BTC", "-0.000000000000000001"),
            ],
        )
        assert await connection.fetchval("SELECT count(*) FROM ledger.entry") == 4


@pytest.mark.parametrize(
    "lines",
    [
        [("wallet", "USDT", "1")],
        [("wallet", "USDT", "1"), ("fees", "USDT", "-0.999999999999999999")],
        [("wallet", "USDT", "1"), ("trading", "BTC", "-1")],
        [("wallet", "USDT", "NaN"), ("fees", "USDT", "NaN")],
    ],
)
async def test_m1_a_group_that_does_not_sum_to_zero_leaves_nothing(
    database: Database, lines: list[Line]
) -> None:
    async with connected(database.dsn_for("carry_executor")) as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="does not sum to zero"):
            await book(connection, 1, lines)
        assert await connection.fetchval("SELECT count(*) FROM ledger.posting_group") == 0


async def test_m1_a_booked_group_cannot_be_unbalanced_later(database: Database) -> None:
    async with connected(database.dsn_for("carry_executor")) as connection:
        await book(connection, 1, [("wallet", "USDT", "1"), ("fees", "USDT", "-1")])
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(ENTRY, 1, 9, "wallet", "USDT", "5")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.entry SET amount = -amount",
        "DELETE FROM ledger.entry",
        "UPDATE ledger.posting_group SET kind = 'x'",
        "DELETE FROM ledger.posting_group",
        "UPDATE ledger.log_row SET funding = 1",
        "DELETE FROM ledger.log_row",
        "TRUNCATE ledger.entry, ledger.posting_group, ledger.log_row",
        "UPDATE ledger.equity SET equity = 0",
    ],
)
async def test_m2_not_even_the_owner_changes_the_ledger(database: Database, statement: str) -> None:
    async with connected(database.dsn_for("carry_executor")) as connection:
        await book(connection, 1, [("wallet", "USDT", "1"), ("fees", "USDT", "-1")])
        await connection.execute("INSERT INTO ledger.equity VALUES (now(), 1, 1, 1, 1, 1, now())")
        await connection.execute(LOG_ROW)
    async with connected(database.owner_dsn) as connection:
        with pytest.raises(asyncpg.RestrictViolationError, match="is append-only"):
            await connection.execute(statement)


async def test_m9_a_settled_rate_never_changes(database: Database) -> None:
    insert = (
        "INSERT INTO market.funding_settlement VALUES ('BTCUSDT', '2023-11-11', $1, 8, now()) "
        "ON CONFLICT DO NOTHING"
    )
    async with connected(database.dsn_for("carry_collector")) as connection:
        assert await connection.execute(insert, 1) == "INSERT 0 1"
        assert await connection.execute(insert, 2) == "INSERT 0 0"
    async with connected(database.owner_dsn) as connection:
        with pytest.raises(asyncpg.RestrictViolationError, match="is append-only"):
            await connection.execute("UPDATE market.funding_settlement SET rate = 3")
        assert await connection.fetchval("SELECT rate FROM market.funding_settlement") == 1
