"""How a plan's first leg was got, and why so; and the watchdog, which may do what its like may."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


WATCHDOG = """
DO $$ BEGIN
    CREATE ROLE carry_watchdog LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT carry_executor TO carry_watchdog;
ALTER ROLE carry_watchdog SET statement_timeout = '10s';
ALTER ROLE carry_watchdog SET lock_timeout = '2s';
ALTER ROLE carry_watchdog SET idle_in_transaction_session_timeout = '5s';
-- Who takes over waits for what a stopped executor has locked.
ALTER ROLE carry_executor SET idle_in_transaction_session_timeout = '5s'
"""


def upgrade() -> None:
    """Add the mode and its reason, which a plan that never began has not, and the role."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(WATCHDOG)
    op.execute("ALTER TABLE execution.plan ADD COLUMN mode text, ADD COLUMN mode_reason text")
