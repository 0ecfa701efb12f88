"""Hypertables where TimescaleDB is there; compression and retention where its licence has them.

Without the extension the tables stay plain; no query knows the difference. Compression and
retention count from a chunk's creation, which is wall time: replayed history is years old.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The loader defines this setting only when the server has preloaded it; creating the extension
# without that would end the session.
EXTENSION = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        AND current_setting('timescaledb.disable_load', true) IS NOT NULL
    THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
END $$
"""

HYPERTABLE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('{table}', '{column}',
            chunk_time_interval => interval '{chunk}',
            create_default_indexes => false, migrate_data => true, if_not_exists => true);
    END IF;
END $$
"""

COMMUNITY = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        AND current_setting('timescaledb.license', true) = 'timescale'
    THEN
        ALTER TABLE market.quote SET (timescaledb.compress,
            timescaledb.compress_segmentby = 'category, symbol',
            timescaledb.compress_orderby = 'venue_at');
        PERFORM add_compression_policy('market.quote',
            compress_created_before => interval '7 days');
        PERFORM add_retention_policy('market.quote',
            drop_created_before => interval '90 days');
    END IF;
END $$
"""


def upgrade() -> None:
    """Adapt the time series to the database found."""
    op.execute(EXTENSION)
    for table, column, chunk in (
        ("market.funding_settlement", "settled_at", "180 days"),
        ("market.quote", "venue_at", "1 day"),
        ("strategy.decision", "decided_at", "7 days"),
        ("ledger.equity", "venue_at", "30 days"),
    ):
        op.execute(HYPERTABLE.format(table=table, column=column, chunk=chunk))
    op.execute(COMMUNITY)
