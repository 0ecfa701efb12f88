"""How a plan's first leg was got, and why so."""

from alembic import op

revision = "0005"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mode and its reason; a plan that never began has neither."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE execution.plan ADD COLUMN mode text, ADD COLUMN mode_reason text")
