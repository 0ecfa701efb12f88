"""Schemas, roles, tables, the rules that the database itself holds, and who may do what.

Roles belong to the whole server, so they may be there already; their passwords are set apart.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMAS = ("market", "strategy", "execution", "ledger", "research", "ops")

# Statement, lock and idle-in-transaction bounds: a stuck query never holds up its service for long.
ROLES = {
    "carry_collector": ("60s", "5s", "60s"),
    "carry_strategy": ("15s", "2s", "30s"),
    "carry_executor": ("10s", "2s", "15s"),
    "carry_commander": ("5s", "2s", "10s"),
    "carry_backtest": ("120s", "5s", "120s"),
    "carry_reader": ("10s", "2s", "15s"),
}

ROLE = """
DO $$ BEGIN
    CREATE ROLE {role} LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
ALTER ROLE {role} SET statement_timeout = '{statement}';
ALTER ROLE {role} SET lock_timeout = '{lock}';
ALTER ROLE {role} SET idle_in_transaction_session_timeout = '{idle}'
"""

MARKET = """
CREATE TABLE market.instrument (
    category text, symbol text, base text NOT NULL, quote text NOT NULL, status text NOT NULL,
    tick numeric NOT NULL, step numeric NOT NULL,
    min_quantity numeric NOT NULL, max_quantity numeric NOT NULL, min_notional numeric NOT NULL,
    funding_interval_minutes integer, funding_cap numeric, delivery_at timestamptz,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (category, symbol)
);
CREATE TABLE market.symbol_identity (
    pair text PRIMARY KEY, base text NOT NULL, spot_symbol text NOT NULL,
    perp_symbol text NOT NULL, multiplier numeric NOT NULL, price_ratio numeric NOT NULL,
    proven_at timestamptz NOT NULL
);
CREATE TABLE market.funding_settlement (
    symbol text, settled_at timestamptz, rate numeric NOT NULL, interval_hours numeric NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, settled_at)
);
CREATE INDEX funding_settlement_settled_at ON market.funding_settlement (settled_at);
CREATE TABLE market.interval_history (
    symbol text, from_at timestamptz, interval_hours numeric NOT NULL, source text NOT NULL,
    PRIMARY KEY (symbol, from_at)
);
CREATE TABLE market.quote (
    category text, symbol text, venue_at timestamptz,
    bid numeric NOT NULL, bid_size numeric NOT NULL,
    ask numeric NOT NULL, ask_size numeric NOT NULL,
    mark numeric, index numeric, predicted_rate numeric, next_funding_at timestamptz,
    funding_interval_hours numeric, received_at timestamptz NOT NULL,
    PRIMARY KEY (category, symbol, venue_at)
);
CREATE TABLE market.quote_latest (
    category text, symbol text, venue_at timestamptz NOT NULL,
    bid numeric NOT NULL, bid_size numeric NOT NULL,
    ask numeric NOT NULL, ask_size numeric NOT NULL,
    mark numeric, index numeric, predicted_rate numeric, next_funding_at timestamptz,
    funding_interval_hours numeric, received_at timestamptz NOT NULL,
    PRIMARY KEY (category, symbol)
) WITH (fillfactor = 50)
"""

STRATEGY = """
CREATE TABLE strategy.policy (
    hash text PRIMARY KEY, body jsonb NOT NULL, applied_at timestamptz NOT NULL
);
CREATE TABLE strategy.decision_inputs (
    hash text PRIMARY KEY, body bytea NOT NULL, created_at timestamptz NOT NULL,
    keep_until timestamptz
);
CREATE TABLE strategy.decision (
    id text, decided_at timestamptz, policy_hash text NOT NULL, inputs_hash text NOT NULL,
    verdicts jsonb NOT NULL, intents integer NOT NULL, correlation_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (id, decided_at)
);
CREATE INDEX decision_decided_at ON strategy.decision (decided_at DESC);
CREATE TABLE strategy.late_instant (
    venue_at timestamptz PRIMARY KEY, reason text NOT NULL, created_at timestamptz NOT NULL
);
CREATE TABLE strategy.intent (
    id text PRIMARY KEY, decision_id text NOT NULL, decided_at timestamptz NOT NULL,
    pair text NOT NULL, quantity numeric NOT NULL, until_at timestamptz, reason text NOT NULL,
    correlation_id text NOT NULL, created_at timestamptz NOT NULL
);
CREATE INDEX intent_decision_id ON strategy.intent (decision_id);
CREATE INDEX intent_pair_decided_at ON strategy.intent (pair, decided_at DESC)
"""

EXECUTION = """
CREATE TABLE execution.plan (
    id text PRIMARY KEY, intent_id text NOT NULL UNIQUE, pair text NOT NULL,
    target_quantity numeric NOT NULL, first_leg text NOT NULL, state text NOT NULL,
    reason text NOT NULL, spot_at_start numeric NOT NULL, perp_at_start numeric NOT NULL,
    unhedged_seconds numeric NOT NULL, decided_at timestamptz NOT NULL,
    finished_venue_at timestamptz, correlation_id text NOT NULL,
    created_at timestamptz NOT NULL, finished_at timestamptz
);
CREATE INDEX plan_created_at ON execution.plan (created_at DESC);
CREATE INDEX plan_unfinished ON execution.plan (pair) WHERE finished_at IS NULL;
CREATE TABLE execution.attempt (
    link_id text PRIMARY KEY, plan_id text NOT NULL REFERENCES execution.plan (id),
    leg text NOT NULL, number smallint NOT NULL, category text NOT NULL, symbol text NOT NULL,
    side text NOT NULL, quantity numeric NOT NULL, limit_price numeric NOT NULL,
    reduce_only boolean NOT NULL, purpose text NOT NULL, state text NOT NULL,
    lease_epoch bigint NOT NULL, sends smallint NOT NULL, signed_at timestamptz NOT NULL,
    order_id text, venue_code integer, venue_message text,
    filled_quantity numeric NOT NULL, filled_value numeric NOT NULL,
    correlation_id text NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX attempt_plan_id ON execution.attempt (plan_id);
CREATE INDEX attempt_state ON execution.attempt (state);
CREATE TABLE execution.fill (
    category text, exec_id text, link_id text NOT NULL, order_id text NOT NULL,
    plan_id text, leg text, pair text NOT NULL, symbol text NOT NULL, side text NOT NULL,
    quantity numeric NOT NULL, price numeric NOT NULL, value numeric NOT NULL,
    fee numeric NOT NULL, fee_currency text NOT NULL, exec_type text NOT NULL,
    is_maker boolean NOT NULL, venue_at timestamptz NOT NULL, correlation_id text NOT NULL,
    booked_at timestamptz NOT NULL,
    PRIMARY KEY (category, exec_id)
);
CREATE INDEX fill_plan_id ON execution.fill (plan_id);
CREATE INDEX fill_venue_at ON execution.fill (venue_at);
CREATE TABLE execution.position (
    pair text PRIMARY KEY, base text NOT NULL, state text NOT NULL,
    target_quantity numeric NOT NULL, spot_quantity numeric NOT NULL,
    perp_quantity numeric NOT NULL, spot_value numeric NOT NULL, perp_value numeric NOT NULL,
    opened_at timestamptz, correlation_id text NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE execution.lease (
    name text PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE TABLE execution.kill (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, level smallint NOT NULL,
    reason text NOT NULL, pressed_by text NOT NULL, pressed_at timestamptz NOT NULL,
    lifted_at timestamptz
);
CREATE INDEX kill_standing ON execution.kill (level) WHERE lifted_at IS NULL
"""

LEDGER = """
CREATE TABLE ledger.posting_group (
    id bigint PRIMARY KEY, key text NOT NULL UNIQUE, kind text NOT NULL, pair text, exec_id text,
    asset text NOT NULL, venue_balance numeric NOT NULL, venue_at timestamptz NOT NULL,
    correlation_id text, previous_hash text NOT NULL, hash text NOT NULL,
    booked_at timestamptz NOT NULL
);
CREATE INDEX posting_group_venue_at ON ledger.posting_group (venue_at);
CREATE TABLE ledger.entry (
    group_id bigint REFERENCES ledger.posting_group (id), line smallint, account text NOT NULL,
    asset text NOT NULL, amount numeric NOT NULL,
    PRIMARY KEY (group_id, line)
);
CREATE INDEX entry_account_asset ON ledger.entry (account, asset);
CREATE TABLE ledger.equity (
    venue_at timestamptz PRIMARY KEY, equity numeric NOT NULL, net numeric NOT NULL,
    funding numeric NOT NULL, fees numeric NOT NULL, basis numeric NOT NULL,
    recorded_at timestamptz NOT NULL
)
"""

RESEARCH = """
CREATE TABLE research.run (
    id text PRIMARY KEY, kind text NOT NULL, state text NOT NULL, parameters jsonb NOT NULL,
    result jsonb, detail text, created_at timestamptz NOT NULL, claimed_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX run_state_created_at ON research.run (state, created_at)
"""

OPS = """
CREATE TABLE ops.installation (
    "only" boolean PRIMARY KEY CHECK ("only"), venue text NOT NULL, account text NOT NULL,
    epoch bigint NOT NULL, created_at timestamptz NOT NULL
);
CREATE TABLE ops.outbox_sequence (
    stream text PRIMARY KEY, last bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE ops.outbox (
    stream text, sequence bigint, body bytea NOT NULL, created_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE TABLE ops.cursor (
    consumer text, stream text, sequence bigint NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, stream)
) WITH (fillfactor = 50);
CREATE TABLE ops.heartbeat (
    service text PRIMARY KEY, ready boolean NOT NULL, detail text NOT NULL, venue_at timestamptz,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE ops.dead_letter (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, consumer text NOT NULL,
    stream text NOT NULL, entry text NOT NULL, body bytea NOT NULL, error text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (consumer, stream, entry)
)
"""

RULES = """
CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog
AS $$ BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.posting_group
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.entry
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.equity
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON ledger.posting_group
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON market.funding_settlement
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();

CREATE FUNCTION ledger.require_balance() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$ DECLARE
    odd record;
BEGIN
    SELECT asset, sum(amount) AS amount INTO odd FROM ledger.entry
        WHERE group_id = NEW.group_id GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posting group % does not sum to zero in %: %',
            NEW.group_id, odd.asset, odd.amount USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER sums_to_zero AFTER INSERT ON ledger.entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.require_balance()
"""

SERVICE_ROLES = "carry_collector, carry_strategy, carry_executor, carry_commander, carry_backtest"

GRANTS = f"""
GRANT USAGE ON SCHEMA market, strategy, execution, ledger, research, ops
    TO {SERVICE_ROLES}, carry_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA market, strategy, execution, ledger, research, ops
    TO {SERVICE_ROLES}, carry_reader;
GRANT SELECT ON public.alembic_version TO {SERVICE_ROLES}, carry_reader;

GRANT INSERT, UPDATE ON market.instrument, market.symbol_identity, market.interval_history,
    market.quote, market.quote_latest TO carry_collector;
GRANT INSERT ON market.funding_settlement TO carry_collector;
GRANT DELETE ON market.quote TO carry_collector;
GRANT INSERT, UPDATE ON strategy.policy, strategy.decision_inputs, strategy.decision,
    strategy.late_instant, strategy.intent TO carry_strategy;
GRANT DELETE ON strategy.decision_inputs TO carry_strategy;
GRANT INSERT, UPDATE ON execution.plan, execution.attempt, execution.fill, execution.position,
    execution.lease, execution.kill TO carry_executor;
GRANT INSERT ON execution.kill TO carry_commander;
GRANT INSERT ON ledger.posting_group, ledger.entry, ledger.equity TO carry_executor;
GRANT INSERT, UPDATE ON research.run TO carry_backtest;

GRANT INSERT ON ops.installation, ops.outbox, ops.dead_letter TO {SERVICE_ROLES};
GRANT INSERT, UPDATE ON ops.outbox_sequence, ops.cursor, ops.heartbeat TO {SERVICE_ROLES};
GRANT DELETE ON ops.outbox TO {SERVICE_ROLES}
"""

STREAM_OWNERS = {
    "carry_collector": "market",
    "carry_strategy": "strategy",
    "carry_executor": "execution",
    "carry_commander": "control",
    "carry_backtest": "research",
}

# One writer per stream, held by the database: an intent cannot come from anybody but the strategy.
STREAM_RULES = """
ALTER TABLE ops.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone_reads ON ops.{table} FOR SELECT USING (true)
"""
STREAM_RULE = """
CREATE POLICY {role}_writes ON ops.{table} FOR ALL TO {role}
    USING (stream LIKE '{prefix}.%') WITH CHECK (stream LIKE '{prefix}.%')
"""


def upgrade() -> None:
    """Create everything but the hypertables."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    for role, (statement, lock, idle) in ROLES.items():
        op.execute(ROLE.format(role=role, statement=statement, lock=lock, idle=idle))
    op.execute("ALTER ROLE carry_reader SET default_transaction_read_only = on")
    for statements in (MARKET, STRATEGY, EXECUTION, LEDGER, RESEARCH, OPS, RULES, GRANTS):
        op.execute(statements)
    for table in ("outbox", "outbox_sequence"):
        op.execute(STREAM_RULES.format(table=table))
        for role, prefix in STREAM_OWNERS.items():
            op.execute(STREAM_RULE.format(role=role, table=table, prefix=prefix))
