"""The order journal's rules held by the database: legs, sends, states; the gate; the kill switch.

States move only along ``execution.transition``; what an order is can never be changed after it was
journaled; a kill is pressed by inserting a row and lifted by one function alone.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JOURNAL = """
CREATE TABLE execution.leg (
    plan_id text REFERENCES execution.plan (id), leg text, category text NOT NULL,
    symbol text NOT NULL, start_quantity numeric NOT NULL, goal_quantity numeric NOT NULL,
    net_filled numeric NOT NULL, value numeric NOT NULL,
    PRIMARY KEY (plan_id, leg)
);
CREATE TABLE execution.send (
    link_id text REFERENCES execution.attempt (link_id), number smallint,
    signed_at timestamptz NOT NULL, lease_epoch bigint NOT NULL,
    PRIMARY KEY (link_id, number)
);
INSERT INTO execution.send (link_id, number, signed_at, lease_epoch)
    SELECT link_id, series.number, signed_at, lease_epoch
    FROM execution.attempt CROSS JOIN generate_series(1, sends) AS series (number);
CREATE TABLE execution.venue_event (
    key text PRIMARY KEY, link_id text NOT NULL, body jsonb NOT NULL, booked_at timestamptz NOT NULL
);
CREATE INDEX venue_event_link_id ON execution.venue_event (link_id);
CREATE TABLE execution.gate ("only" boolean PRIMARY KEY CHECK ("only"));
INSERT INTO execution.gate VALUES (true);

ALTER TABLE execution.attempt ADD COLUMN book_behind_seconds numeric;
ALTER TABLE execution.attempt ADD COLUMN book_silent_seconds numeric;
CREATE INDEX attempt_rejected ON execution.attempt (updated_at) WHERE state = 'rejected';
CREATE INDEX plan_decided_at ON execution.plan (decided_at);
CREATE INDEX fill_booked_at ON execution.fill (booked_at);
CREATE INDEX posting_group_exec_id ON ledger.posting_group (exec_id)
"""

# '' is the state of what is not there yet.
TRANSITIONS = {
    "plan": {
        "": ("planned",),
        "planned": ("working", "refused"),
        "working": ("hedged", "flat", "broken", "refused"),
    },
    "attempt": {
        "": ("submitting",),
        "submitting": (
            "live",
            "unknown",
            "filled",
            "cancelled",
            "rejected",
            "absent",
            "quarantined",
        ),
        "unknown": ("live", "filled", "cancelled", "rejected", "absent", "quarantined"),
        # The venue may lose what it had taken; the proof of absence is the same.
        "live": ("filled", "cancelled", "rejected", "absent", "quarantined"),
        # A person decides, or the venue speaks after all.
        "quarantined": ("live", "filled", "cancelled", "rejected", "absent"),
        # A fill came for an order that was called dead: it is alive again, or done.
        "absent": ("live", "filled", "cancelled", "rejected"),
        "rejected": ("live", "filled"),
    },
}

TRANSITION = "INSERT INTO execution.transition VALUES ('{machine}', '{before}', '{after}')"

STATES = """
CREATE TABLE execution.transition (
    machine text, from_state text, to_state text, PRIMARY KEY (machine, from_state, to_state)
);
CREATE FUNCTION execution.require_transition() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$ DECLARE
    was text := '';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        was := OLD.state;
    END IF;
    IF was <> NEW.state AND NOT EXISTS (
        SELECT FROM execution.transition
        WHERE machine = TG_TABLE_NAME AND from_state = was AND to_state = NEW.state)
    THEN
        RAISE EXCEPTION 'illegal transition of % % from "%" to "%"',
            TG_TABLE_NAME, coalesce(to_jsonb(NEW) ->> 'link_id', to_jsonb(NEW) ->> 'id'),
            was, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER legal_transition BEFORE INSERT OR UPDATE OF state ON execution.plan
    FOR EACH ROW EXECUTE FUNCTION execution.require_transition();
CREATE TRIGGER legal_transition BEFORE INSERT OR UPDATE OF state ON execution.attempt
    FOR EACH ROW EXECUTE FUNCTION execution.require_transition();

CREATE FUNCTION execution.require_first_send() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$ BEGIN
    IF (SELECT count(*) FROM execution.send WHERE link_id = NEW.link_id) > 1 THEN
        RAISE EXCEPTION 'illegal transition of attempt % from "%" to "rejected" after a re-send',
            NEW.link_id, OLD.state USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rejected_from_first_send BEFORE UPDATE OF state ON execution.attempt
    FOR EACH ROW WHEN (NEW.state = 'rejected' AND OLD.state <> 'rejected')
    EXECUTE FUNCTION execution.require_first_send();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON execution.send
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON execution.venue_event
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_change()
"""

KILL = """
ALTER TABLE execution.kill ADD COLUMN pair text;
ALTER TABLE execution.kill ADD COLUMN lifted_by text;
ALTER TABLE execution.kill ADD COLUMN lift_reason text;
ALTER TABLE execution.kill ADD CONSTRAINT kill_level CHECK (level BETWEEN 0 AND 4);
ALTER TABLE execution.kill ADD CONSTRAINT kill_pair CHECK ((level = 0) = (pair IS NOT NULL));
ALTER TABLE execution.kill ADD CONSTRAINT kill_reason CHECK (reason <> '' AND pressed_by <> '');

CREATE FUNCTION execution.forbidding(forbidden_from integer, of_pair text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$
    SELECT format('kill %s of level %s: %s', id, level, reason) FROM execution.kill
    WHERE lifted_at IS NULL
      AND (level >= forbidden_from OR (level = 0 AND forbidden_from <= 1 AND pair = of_pair))
    ORDER BY level DESC, id LIMIT 1
$$;
CREATE FUNCTION execution.ring_kill() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog
AS $$ BEGIN
    PERFORM pg_notify('execution_kill', '');
    RETURN NULL;
END $$;
CREATE TRIGGER doorbell AFTER INSERT OR UPDATE ON execution.kill
    FOR EACH STATEMENT EXECUTE FUNCTION execution.ring_kill();

CREATE FUNCTION execution.lift_kill(kill_id bigint, by_whom text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$ DECLARE
    beat record;
BEGIN
    IF coalesce(btrim(by_whom), '') = '' OR coalesce(btrim(why), '') = '' THEN
        RAISE EXCEPTION 'who lifts a kill, and why, must be said'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT ready, detail, seen_at INTO beat FROM ops.heartbeat WHERE service = 'executor';
    IF NOT FOUND OR beat.seen_at < clock_timestamp() - interval '10 seconds' THEN
        RAISE EXCEPTION 'no executor has said of late that books and positions agree'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NOT beat.ready OR beat.detail <> '' THEN
        RAISE EXCEPTION 'books and positions do not agree with the venue: %', beat.detail
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE execution.kill
        SET lifted_at = clock_timestamp(), lifted_by = by_whom, lift_reason = why
        WHERE id = kill_id AND lifted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no kill % stands', kill_id USING ERRCODE = 'no_data_found';
    END IF;
END $$;
REVOKE ALL ON FUNCTION execution.lift_kill(bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION execution.lift_kill(bigint, text, text) TO carry_commander
"""

# What an order is was granted with INSERT; what may change afterwards is named column by column.
GRANTS = """
GRANT SELECT ON execution.leg, execution.send, execution.venue_event, execution.transition,
    execution.gate
    TO carry_collector, carry_strategy, carry_executor, carry_commander, carry_backtest,
       carry_reader;
GRANT INSERT ON execution.leg, execution.send, execution.venue_event TO carry_executor;
GRANT UPDATE (net_filled, value) ON execution.leg TO carry_executor;
GRANT UPDATE ("only") ON execution.gate TO carry_executor;
REVOKE UPDATE ON execution.attempt, execution.kill FROM carry_executor;
GRANT UPDATE (state, sends, signed_at, order_id, venue_code, venue_message, filled_quantity,
              filled_value, updated_at) ON execution.attempt TO carry_executor
"""


def upgrade() -> None:
    """Create tables, rules and rights; orders of an older release keep their states."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statements in (JOURNAL, STATES, KILL, GRANTS):
        op.execute(statements)
    for machine, known in TRANSITIONS.items():
        for before, afters in known.items():
            for after in afters:
                op.execute(TRANSITION.format(machine=machine, before=before, after=after))
