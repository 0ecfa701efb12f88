"""The venue's rows as they came, what is made of them, and commands to the executor.

``ledger.log_row`` holds all that the derived tables are made from: ``life``, ``daily`` and ``perp``
can be rebuilt from it at any time, and alone among the ledger's tables may be updated.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LEDGER = """
CREATE TABLE ledger.log_row (
    group_id bigint PRIMARY KEY REFERENCES ledger.posting_group (id),
    key text NOT NULL, kind text NOT NULL, category text NOT NULL, symbol text NOT NULL,
    currency text NOT NULL, side text NOT NULL, quantity numeric NOT NULL, price numeric,
    cash_flow numeric NOT NULL, funding numeric NOT NULL, fee numeric NOT NULL,
    change numeric NOT NULL, balance numeric NOT NULL, exec_id text NOT NULL,
    order_id text NOT NULL, link_id text NOT NULL, venue_at timestamptz NOT NULL,
    pair text, base text NOT NULL, reference_price numeric, lot numeric NOT NULL,
    correlation_id text, is_seen boolean NOT NULL
);
CREATE INDEX log_row_symbol_venue_at ON ledger.log_row (symbol, venue_at);
CREATE TABLE ledger.life (
    pair text, number integer, opened_at timestamptz NOT NULL, closed_at timestamptz,
    coin numeric NOT NULL, coin_cost numeric NOT NULL,
    perp numeric NOT NULL, perp_cost numeric NOT NULL,
    funding numeric NOT NULL, basis numeric NOT NULL, fees numeric NOT NULL,
    borrow numeric NOT NULL, slippage numeric NOT NULL, rounding numeric NOT NULL,
    PRIMARY KEY (pair, number)
);
CREATE TABLE ledger.daily (
    day date, pair text, asset text,
    funding numeric NOT NULL, basis numeric NOT NULL, fees numeric NOT NULL,
    borrow numeric NOT NULL, slippage numeric NOT NULL, rounding numeric NOT NULL,
    PRIMARY KEY (day, pair, asset)
);
CREATE TABLE ledger.perp (
    symbol text PRIMARY KEY, quantity numeric NOT NULL, cost numeric NOT NULL
);
ALTER TABLE ledger.equity ADD COLUMN growth numeric NOT NULL DEFAULT 1;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.log_row
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON ledger.log_row
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()
"""

EXECUTION = """
ALTER TABLE execution.attempt ADD COLUMN reference_price numeric;
CREATE TABLE execution.command (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, pair text NOT NULL,
    reason text NOT NULL, asked_by text NOT NULL, asked_at timestamptz NOT NULL,
    done_at timestamptz, outcome text,
    CHECK (kind IN ('adopt', 'ignore'))
)
"""

GRANTS = """
GRANT SELECT ON ledger.log_row, ledger.life, ledger.daily, ledger.perp, execution.command
    TO carry_collector, carry_strategy, carry_executor, carry_commander, carry_backtest,
       carry_reader;
GRANT INSERT ON ledger.log_row TO carry_executor;
GRANT INSERT, UPDATE ON ledger.life, ledger.daily, ledger.perp, execution.command
    TO carry_executor;
GRANT INSERT ON execution.command TO carry_commander
"""


def upgrade() -> None:
    """Create the raw rows, the derived tables and the command table."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statements in (LEDGER, EXECUTION, GRANTS):
        op.execute(statements)
