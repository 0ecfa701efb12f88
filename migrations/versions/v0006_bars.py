"""Hourly bars of spot, perpetual and mark: history that is imported or fetched, written once."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BARS = """
CREATE TABLE market.bar (
    series text CHECK (series IN ('spot', 'linear', 'mark')), symbol text, opened_at timestamptz,
    open numeric, high numeric, low numeric, close numeric NOT NULL CHECK (close > 0),
    volume numeric, received_at timestamptz NOT NULL,
    PRIMARY KEY (series, symbol, opened_at)
);
CREATE INDEX bar_opened_at ON market.bar (opened_at);
GRANT SELECT ON market.bar TO carry_collector, carry_strategy, carry_executor, carry_commander,
    carry_backtest, carry_reader;
GRANT INSERT ON market.bar TO carry_collector
"""

HYPERTABLE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('market.bar', 'opened_at',
            chunk_time_interval => interval '90 days',
            create_default_indexes => false, migrate_data => true, if_not_exists => true);
    END IF;
END $$
"""


def upgrade() -> None:
    """Make the table; the collector alone may add to it, and nobody changes what is there."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(BARS)
    op.execute(HYPERTABLE)
