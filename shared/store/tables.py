"""The schema, described once. A test compares it with the migrated database.

Hypertables are named in ``HYPERTABLES`` with their time column. Money is ``numeric``, no scale.
Instants named ``venue_at``, ``settled_at`` or ``decided_at`` are the exchange's; others ours.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

METADATA: Final = MetaData()
INSTANT: Final = TIMESTAMP(timezone=True)

SCHEMAS: Final = ("market", "strategy", "execution", "ledger", "research", "ops")

HYPERTABLES: Final = {
    "market.funding_settlement": "settled_at",
    "market.quote": "venue_at",
    "market.bar": "opened_at",
    "strategy.decision": "decided_at",
    "ledger.equity": "venue_at",
}


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, Text, primary_key=key, nullable=null)


def _money(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Numeric, nullable=null)


def _share(name: str, *, null: bool = False) -> Column[Any]:
    """A statistic, which is a float here as it is in ``shared.analytics``; never money."""
    return Column(name, Double, nullable=null)


def _instant(name: str, *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, INSTANT, primary_key=key, nullable=null)


def _parts() -> list[Column[Any]]:
    """The causes of profit, each a gain (+) or a cost (-), as ``domain.profit.Parts``."""
    return [_money(name) for name in ("funding", "basis", "fees", "borrow", "slippage", "rounding")]


# market: written by the collector
INSTRUMENT: Final = Table(
    "instrument",
    METADATA,
    _text("category", key=True),
    _text("symbol", key=True),
    _text("base"),
    _text("quote"),
    _text("status"),
    _money("tick"),
    _money("step"),
    _money("min_quantity"),
    _money("max_quantity"),
    _money("min_notional"),
    Column("funding_interval_minutes", Integer, nullable=True),
    _money("funding_cap", null=True),
    _instant("delivery_at", null=True),
    _instant("fetched_at"),
    schema="market",
)
SYMBOL_IDENTITY: Final = Table(
    "symbol_identity",
    METADATA,
    _text("pair", key=True),
    _text("base"),
    _text("spot_symbol"),
    _text("perp_symbol"),
    _money("multiplier"),
    _money("price_ratio"),
    _instant("proven_at"),
    schema="market",
)
FUNDING_SETTLEMENT: Final = Table(
    "funding_settlement",
    METADATA,
    _text("symbol", key=True),
    _instant("settled_at", key=True),
    _money("rate"),
    _money("interval_hours"),
    _instant("received_at"),
    schema="market",
)
INTERVAL_HISTORY: Final = Table(
    "interval_history",
    METADATA,
    _text("symbol", key=True),
    _instant("from_at", key=True),
    _money("interval_hours"),
    _text("source"),
    schema="market",
)

BAR: Final = Table(
    "bar",
    METADATA,
    _text("series", key=True),
    _text("symbol", key=True),
    _instant("opened_at", key=True),
    _money("open", null=True),
    _money("high", null=True),
    _money("low", null=True),
    _money("close"),
    _money("volume", null=True),
    _instant("received_at"),
    schema="market",
)


def _quote_columns(*, time_key: bool) -> list[Column[Any]]:
    return [
        _text("category", key=True),
        _text("symbol", key=True),
        _instant("venue_at", key=time_key),
        _money("bid"),
        _money("bid_size"),
        _money("ask"),
        _money("ask_size"),
        _money("mark", null=True),
        _money("index", null=True),
        _money("predicted_rate", null=True),
        _instant("next_funding_at", null=True),
        _money("funding_interval_hours", null=True),
        _instant("received_at"),
    ]


QUOTE: Final = Table("quote", METADATA, *_quote_columns(time_key=True), schema="market")
QUOTE_LATEST: Final = Table(
    "quote_latest", METADATA, *_quote_columns(time_key=False), schema="market"
)

# strategy: written by the strategy
POLICY: Final = Table(
    "policy",
    METADATA,
    _text("hash", key=True),
    Column("body", JSONB, nullable=False),
    _instant("applied_at"),
    schema="strategy",
)
DECISION_INPUTS: Final = Table(
    "decision_inputs",
    METADATA,
    _text("hash", key=True),
    Column("body", LargeBinary, nullable=False),
    _instant("created_at"),
    _instant("keep_until", null=True),
    schema="strategy",
)
DECISION: Final = Table(
    "decision",
    METADATA,
    _text("id", key=True),
    _instant("decided_at", key=True),
    _text("policy_hash"),
    _text("inputs_hash"),
    Column("verdicts", JSONB, nullable=False),
    Column("intents", Integer, nullable=False),
    _text("correlation_id"),
    _instant("created_at"),
    schema="strategy",
)
LATE_INSTANT: Final = Table(
    "late_instant",
    METADATA,
    _instant("venue_at", key=True),
    _text("reason"),
    _instant("created_at"),
    schema="strategy",
)
INTENT: Final = Table(
    "intent",
    METADATA,
    _text("id", key=True),
    _text("decision_id"),
    _instant("decided_at"),
    _text("pair"),
    _money("quantity"),
    _instant("until_at", null=True),
    _text("reason"),
    _text("correlation_id"),
    _instant("created_at"),
    schema="strategy",
)

# execution: written by the executor
PLAN: Final = Table(
    "plan",
    METADATA,
    _text("id", key=True),
    Column("intent_id", Text, nullable=False, unique=True),
    _text("pair"),
    _money("target_quantity"),
    _text("first_leg"),
    _text("state"),
    _text("reason"),
    _money("spot_at_start"),
    _money("perp_at_start"),
    _money("unhedged_seconds"),
    _instant("decided_at"),
    _instant("finished_venue_at", null=True),
    _text("correlation_id"),
    _instant("created_at"),
    _instant("finished_at", null=True),
    _text("mode", null=True),
    _text("mode_reason", null=True),
    schema="execution",
)
ATTEMPT: Final = Table(
    "attempt",
    METADATA,
    _text("link_id", key=True),
    Column("plan_id", Text, ForeignKey("execution.plan.id"), nullable=False),
    _text("leg"),
    Column("number", SmallInteger, nullable=False),
    _text("category"),
    _text("symbol"),
    _text("side"),
    _money("quantity"),
    _money("limit_price"),
    Column("reduce_only", Boolean, nullable=False),
    _text("purpose"),
    _text("state"),
    Column("lease_epoch", BigInteger, nullable=False),
    Column("sends", SmallInteger, nullable=False),
    _instant("signed_at"),
    _text("order_id", null=True),
    Column("venue_code", Integer, nullable=True),
    _text("venue_message", null=True),
    _money("filled_quantity"),
    _money("filled_value"),
    _text("correlation_id"),
    _instant("created_at"),
    _instant("updated_at"),
    _money("book_behind_seconds", null=True),
    _money("book_silent_seconds", null=True),
    _money("reference_price", null=True),
    schema="execution",
)
LEG: Final = Table(
    "leg",
    METADATA,
    Column("plan_id", Text, ForeignKey("execution.plan.id"), primary_key=True),
    _text("leg", key=True),
    _text("category"),
    _text("symbol"),
    _money("start_quantity"),
    _money("goal_quantity"),
    _money("net_filled"),
    _money("value"),
    schema="execution",
)
SEND: Final = Table(
    "send",
    METADATA,
    Column("link_id", Text, ForeignKey("execution.attempt.link_id"), primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    _instant("signed_at"),
    Column("lease_epoch", BigInteger, nullable=False),
    schema="execution",
)
VENUE_EVENT: Final = Table(
    "venue_event",
    METADATA,
    _text("key", key=True),
    _text("link_id"),
    Column("body", JSONB, nullable=False),
    _instant("booked_at"),
    schema="execution",
)
TRANSITION: Final = Table(
    "transition",
    METADATA,
    _text("machine", key=True),
    _text("from_state", key=True),
    _text("to_state", key=True),
    schema="execution",
)
GATE: Final = Table("gate", METADATA, Column("only", Boolean, primary_key=True), schema="execution")
FILL: Final = Table(
    "fill",
    METADATA,
    _text("category", key=True),
    _text("exec_id", key=True),
    _text("link_id"),
    _text("order_id"),
    _text("plan_id", null=True),
    _text("leg", null=True),
    _text("pair"),
    _text("symbol"),
    _text("side"),
    _money("quantity"),
    _money("price"),
    _money("value"),
    _money("fee"),
    _text("fee_currency"),
    _text("exec_type"),
    Column("is_maker", Boolean, nullable=False),
    _instant("venue_at"),
    _text("correlation_id"),
    _instant("booked_at"),
    schema="execution",
)
POSITION: Final = Table(
    "position",
    METADATA,
    _text("pair", key=True),
    _text("base"),
    _text("state"),
    _money("target_quantity"),
    _money("spot_quantity"),
    _money("perp_quantity"),
    _money("spot_value"),
    _money("perp_value"),
    _instant("opened_at", null=True),
    _text("correlation_id"),
    _instant("updated_at"),
    schema="execution",
)
LEASE: Final = Table(
    "lease",
    METADATA,
    _text("name", key=True),
    _text("owner"),
    Column("epoch", BigInteger, nullable=False),
    _instant("expires_at"),
    schema="execution",
)
KILL: Final = Table(
    "kill",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("level", SmallInteger, nullable=False),
    _text("reason"),
    _text("pressed_by"),
    _instant("pressed_at"),
    _instant("lifted_at", null=True),
    _text("pair", null=True),
    _text("lifted_by", null=True),
    _text("lift_reason", null=True),
    schema="execution",
)
COMMAND: Final = Table(
    "command",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("kind"),
    _text("pair"),
    _text("reason"),
    _text("asked_by"),
    _instant("asked_at"),
    _instant("done_at", null=True),
    _text("outcome", null=True),
    schema="execution",
)

# ledger: written by the executor, append-only but for life, daily and perp, which are derived
POSTING_GROUP: Final = Table(
    "posting_group",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    _text("kind"),
    _text("pair", null=True),
    _text("exec_id", null=True),
    _text("asset"),
    _money("venue_balance"),
    _instant("venue_at"),
    _text("correlation_id", null=True),
    _text("previous_hash"),
    _text("hash"),
    _instant("booked_at"),
    schema="ledger",
)
ENTRY: Final = Table(
    "entry",
    METADATA,
    Column(
        "group_id",
        BigInteger,
        ForeignKey("ledger.posting_group.id"),
        primary_key=True,
    ),
    Column("line", SmallInteger, primary_key=True),
    _text("account"),
    _text("asset"),
    _money("amount"),
    schema="ledger",
)
EQUITY: Final = Table(
    "equity",
    METADATA,
    _instant("venue_at", key=True),
    _money("equity"),
    _money("net"),
    _money("funding"),
    _money("fees"),
    _money("basis"),
    _instant("recorded_at"),
    _money("growth"),
    schema="ledger",
)

LOG_ROW: Final = Table(
    "log_row",
    METADATA,
    Column(
        "group_id",
        BigInteger,
        ForeignKey("ledger.posting_group.id"),
        primary_key=True,
        autoincrement=False,
    ),
    _text("key"),
    _text("kind"),
    _text("category"),
    _text("symbol"),
    _text("currency"),
    _text("side"),
    _money("quantity"),
    _money("price", null=True),
    _money("cash_flow"),
    _money("funding"),
    _money("fee"),
    _money("change"),
    _money("balance"),
    _text("exec_id"),
    _text("order_id"),
    _text("link_id"),
    _instant("venue_at"),
    _text("pair", null=True),
    _text("base"),
    _money("reference_price", null=True),
    _money("lot"),
    _text("correlation_id", null=True),
    Column("is_seen", Boolean, nullable=False),
    schema="ledger",
)
LIFE: Final = Table(
    "life",
    METADATA,
    _text("pair", key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _instant("opened_at"),
    _instant("closed_at", null=True),
    _money("coin"),
    _money("coin_cost"),
    _money("perp"),
    _money("perp_cost"),
    *_parts(),
    schema="ledger",
)
DAILY: Final = Table(
    "daily",
    METADATA,
    Column("day", Date, primary_key=True),
    _text("pair", key=True),
    _text("asset", key=True),
    *_parts(),
    schema="ledger",
)
PERP: Final = Table(
    "perp",
    METADATA,
    _text("symbol", key=True),
    _money("quantity"),
    _money("cost"),
    schema="ledger",
)

# research: written by the back-test
RUN: Final = Table(
    "run",
    METADATA,
    _text("id", key=True),
    _text("kind"),
    _text("state"),
    Column("parameters", JSONB, nullable=False),
    Column("result", JSONB, nullable=True),
    _text("detail", null=True),
    _instant("created_at"),
    _instant("claimed_at", null=True),
    _instant("finished_at", null=True),
    Column("done", Integer, nullable=True),
    Column("total", Integer, nullable=True),
    schema="research",
)
TRIAL: Final = Table(
    "trial",
    METADATA,
    Column("run_id", Text, ForeignKey("research.run.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _text("universe"),
    _instant("begins_at"),
    _instant("ends_at"),
    Column("setting", JSONB, nullable=False),
    _text("setting_hash"),
    _money("net"),
    _share("sharpe", null=True),
    _instant("made_at"),
    schema="research",
)
FORECAST: Final = Table(
    "forecast",
    METADATA,
    _text("symbol", key=True),
    _instant("made_of", key=True),
    Column("horizon", SmallInteger, primary_key=True),
    _share("mean"),
    _share("low", null=True),
    _share("high", null=True),
    _share("last"),
    Column("has_skill", Boolean, nullable=False),
    Column("settlements", Integer, nullable=False),
    _instant("made_at"),
    schema="research",
)
SKIP: Final = Table(
    "skip",
    METADATA,
    _text("symbol", key=True),
    _text("reason", key=True),
    _instant("decided_at", key=True),
    _text("decision_id"),
    Column("hold_hours", Integer, nullable=False),
    _money("cost", null=True),
    _money("funding", null=True),
    _money("basis_gain", null=True),
    _money("earned", null=True),
    _instant("followed_at", null=True),
    schema="research",
)

# ops
INSTALLATION: Final = Table(
    "installation",
    METADATA,
    Column("only", Boolean, primary_key=True),
    _text("venue"),
    _text("account"),
    Column("epoch", BigInteger, nullable=False),
    _instant("created_at"),
    schema="ops",
)
OUTBOX_SEQUENCE: Final = Table(
    "outbox_sequence",
    METADATA,
    _text("stream", key=True),
    Column("last", BigInteger, nullable=False),
    schema="ops",
)
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    _text("stream", key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    _instant("created_at"),
    schema="ops",
)
CURSOR: Final = Table(
    "cursor",
    METADATA,
    _text("consumer", key=True),
    _text("stream", key=True),
    Column("sequence", BigInteger, nullable=False),
    _instant("updated_at"),
    schema="ops",
)
HEARTBEAT: Final = Table(
    "heartbeat",
    METADATA,
    _text("service", key=True),
    Column("ready", Boolean, nullable=False),
    _text("detail"),
    _instant("venue_at", null=True),
    _instant("seen_at"),
    schema="ops",
)
DEAD_LETTER: Final = Table(
    "dead_letter",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("consumer"),
    _text("stream"),
    _text("entry"),
    Column("body", LargeBinary, nullable=False),
    _text("error"),
    _instant("created_at"),
    UniqueConstraint("consumer", "stream", "entry"),
    schema="ops",
)

WRITERS: Final = {
    "carry_collector": ("market.*",),
    "carry_strategy": ("strategy.*",),
    "carry_executor": (
        "execution.plan",
        "execution.leg",
        "execution.attempt",
        "execution.send",
        "execution.venue_event",
        "execution.fill",
        "execution.position",
        "execution.lease",
        "execution.kill",
        "execution.command",
        "ledger.*",
    ),
    "carry_backtest": ("research.*",),
    "carry_commander": ("execution.kill", "execution.command"),
}
"""Who writes what; every role also writes its own ops rows, ``carry_reader`` reads everything."""
