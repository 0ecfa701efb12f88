"""What a role may not do, it cannot do: each forbidden statement is refused by the database."""

import asyncpg
import pytest

from tests.support.servers import Database, connected

FORBIDDEN = [
    ("carry_collector", "INSERT INTO strategy.late_instant VALUES (now(), 'x', now())"),
    ("carry_collector", "UPDATE market.funding_settlement SET rate = 0"),
    ("carry_collector", "DELETE FROM market.instrument"),
    ("carry_collector", "UPDATE market.bar SET close = 1"),
    ("carry_backtest", "INSERT INTO market.bar SELECT * FROM market.bar"),
    ("carry_strategy", "UPDATE execution.position SET target_quantity = 1"),
    ("carry_strategy", "INSERT INTO market.symbol_identity SELECT * FROM market.symbol_identity"),
    ("carry_strategy", "UPDATE execution.kill SET lifted_at = now()"),
    ("carry_executor", "INSERT INTO strategy.policy VALUES ('h', '{}', now())"),
    ("carry_executor", "UPDATE ledger.entry SET amount = 0"),
    ("carry_executor", "DELETE FROM ledger.posting_group"),
    ("carry_executor", "TRUNCATE ledger.entry, ledger.posting_group"),
    ("carry_executor", "UPDATE ops.installation SET epoch = 1"),
    ("carry_commander", "UPDATE execution.kill SET lifted_at = now()"),
    ("carry_executor", "UPDATE execution.kill SET lifted_at = now()"),
    ("carry_executor", "SELECT execution.lift_kill(1, 'me', 'because')"),
    ("carry_executor", "UPDATE execution.attempt SET quantity = 1"),
    ("carry_executor", "UPDATE execution.attempt SET link_id = 'other'"),
    ("carry_executor", "UPDATE execution.send SET signed_at = now()"),
    ("carry_executor", "DELETE FROM execution.send"),
    ("carry_executor", "UPDATE execution.venue_event SET body = '{}'"),
    ("carry_executor", "INSERT INTO execution.transition VALUES ('plan', 'flat', 'working')"),
    ("carry_executor", "DELETE FROM execution.gate"),
    ("carry_executor", "ALTER TABLE execution.attempt DISABLE TRIGGER legal_transition"),
    ("carry_commander", "DELETE FROM execution.kill"),
    ("carry_commander", "INSERT INTO execution.lease VALUES ('executor', 'me', 1, now())"),
    ("carry_backtest", "DELETE FROM market.quote"),
    ("carry_backtest", "INSERT INTO ledger.equity VALUES (now(), 1, 1, 1, 1, 1, now())"),
    ("carry_strategy", "INSERT INTO research.trial SELECT * FROM research.trial"),
    ("carry_backtest", "UPDATE research.trial SET net = 1"),
    ("carry_backtest", "DELETE FROM research.trial"),
    ("carry_backtest", "UPDATE research.forecast SET mean = 1"),
    ("carry_backtest", "DELETE FROM research.forecast"),
    ("carry_backtest", "UPDATE research.skip SET cost = 0"),
    ("carry_backtest", "DELETE FROM research.skip"),
    ("carry_reader", "INSERT INTO ops.heartbeat VALUES ('api', true, '', NULL, now())"),
    ("carry_reader", "SET default_transaction_read_only = off; DELETE FROM ops.outbox"),
    ("carry_executor", "CREATE TABLE execution.mine (id int)"),
    ("carry_executor", "ALTER TABLE ledger.entry DISABLE TRIGGER ALL"),
    ("carry_executor", "SET session_replication_role = replica"),
]

REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
)


@pytest.mark.parametrize(("role", "statement"), FORBIDDEN)
async def test_a_role_cannot_reach_beyond_its_own(
    database: Database, role: str, statement: str
) -> None:
    async with connected(database.dsn_for(role)) as connection:
        with pytest.raises(REFUSED):
            await connection.execute(statement)


@pytest.mark.parametrize(
    ("role", "own", "foreign"),
    [
        ("carry_collector", "market.funding", "strategy.intents"),
        ("carry_strategy", "strategy.intents", "execution.events"),
        ("carry_executor", "execution.events", "strategy.intents"),
        ("carry_commander", "control.commands", "strategy.intents"),
        ("carry_backtest", "research.runs", "market.funding"),
    ],
)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ops.outbox VALUES ('{stream}', 1, 'x', now())",
        "INSERT INTO ops.outbox_sequence VALUES ('{stream}', 1)",
    ],
)
async def test_a_stream_has_one_writing_role(
    database: Database, role: str, own: str, foreign: str, statement: str
) -> None:
    async with connected(database.dsn_for(role)) as connection:
        assert await connection.execute(statement.format(stream=own)) == "INSERT 0 1"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute(statement.format(stream=foreign))


async def test_every_role_reads_the_rows_of_every_stream(database: Database) -> None:
    async with connected(database.dsn_for("carry_strategy")) as connection:
        await connection.execute(
            "INSERT INTO ops.outbox VALUES ('strategy.intents', 1, 'x', now())"
        )
    async with connected(database.dsn_for("carry_executor")) as connection:
        assert await connection.fetchval("SELECT sequence FROM ops.outbox") == 1


async def test_no_statement_of_a_service_may_run_or_wait_for_ever(database: Database) -> None:
    async with connected(database.dsn_for("carry_executor")) as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "10s"
        assert await connection.fetchval("SHOW lock_timeout") == "2s"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "5s"
