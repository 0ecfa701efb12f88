"""What research keeps for good: every trial, forecasts before their outcome, what was passed over.

None of it is ever changed but by what was not known yet: the outcome of a would-be hold.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PROGRESS = "ALTER TABLE research.run ADD COLUMN done integer, ADD COLUMN total integer"

TRIAL = """
CREATE TABLE research.trial (
    run_id text REFERENCES research.run (id), number integer,
    universe text NOT NULL, begins_at timestamptz NOT NULL, ends_at timestamptz NOT NULL,
    setting jsonb NOT NULL, setting_hash text NOT NULL, net numeric NOT NULL,
    sharpe double precision, made_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, number)
);
CREATE INDEX trial_span ON research.trial (universe, begins_at, ends_at, setting_hash)
    INCLUDE (sharpe)
"""

# The database's own clock stamps a forecast, and the rule beside it refuses one whose outcome has
# begun to be known: nobody can say later what he would have said.
FORECAST = """
CREATE TABLE research.forecast (
    symbol text, made_of timestamptz, horizon smallint,
    mean double precision NOT NULL, low double precision, high double precision,
    last double precision NOT NULL, has_skill boolean NOT NULL, settlements integer NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, made_of, horizon)
);
CREATE FUNCTION research.refuse_hindsight() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM market.funding_settlement
               WHERE symbol = NEW.symbol AND settled_at > NEW.made_of)
    THEN
        RAISE EXCEPTION '% has settled since %: that is no forecast', NEW.symbol, NEW.made_of
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.made_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER before_the_outcome BEFORE INSERT ON research.forecast
    FOR EACH ROW EXECUTE FUNCTION research.refuse_hindsight()
"""

SKIP = """
CREATE TABLE research.skip (
    symbol text, reason text, decided_at timestamptz, decision_id text NOT NULL,
    hold_hours integer NOT NULL CHECK (hold_hours > 0), cost numeric,
    funding numeric, basis_gain numeric, earned numeric, followed_at timestamptz,
    PRIMARY KEY (symbol, reason, decided_at)
);
CREATE INDEX skip_decided_at ON research.skip (decided_at);
CREATE INDEX skip_open ON research.skip (symbol) WHERE followed_at IS NULL
"""

GRANTS = """
GRANT SELECT ON research.trial, research.forecast, research.skip TO carry_collector, carry_strategy,
    carry_executor, carry_commander, carry_backtest, carry_reader;
GRANT INSERT ON research.trial, research.forecast, research.skip TO carry_backtest;
GRANT UPDATE (funding, basis_gain, earned, followed_at) ON research.skip TO carry_backtest
"""


def upgrade() -> None:
    """Make the tables; the back-test alone adds to them, and only a would-be hold is completed."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statements in (PROGRESS, TRIAL, FORECAST, SKIP, GRANTS):
        op.execute(statements)
