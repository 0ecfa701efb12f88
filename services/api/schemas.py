"""What the API answers: amounts are decimal strings, instants are ISO 8601 in UTC.

``venue`` instants come from the exchange's clock and decide; ``wall`` instants are ours.
Cash is positive when we receive it. Rates are fractions of notional for one interval.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer

Amount = Annotated[
    Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json")
]
"""A decimal that crosses the wire as a plain string, never in exponent form."""

PairState = Literal["Opening", "Hedged", "Unwinding", "Closed", "Broken"]
Verdict = Literal["open", "hold", "close", "passed_over"]
Answer = Literal["yes", "no", "unknown"]


class View(BaseModel):
    """One answer of the API; built by us, so unknown fields are a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(View):
    """An error as RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ServiceHealth(View):
    """Whether one service has been heard of lately."""

    name: str
    alive: bool
    ready: bool
    detail: str
    seen_at: datetime | None


class StatusView(View):
    """Where orders go, what time it is there, and who is running."""

    venue: Literal["replay", "paper", "demo", "testnet", "live"]
    version: str
    venue_at: datetime | None
    wall_at: datetime
    replay_speed: Amount | None
    data_age_seconds: Amount | None
    next_settlement_at: datetime | None
    services: list[ServiceHealth]


class HedgedAnswer(View):
    """Am I hedged: the summed net delta of all pairs, and the longest time one leg stood alone."""

    answer: Answer
    net_delta_usdt: Amount | None
    gross_notional_usdt: Amount | None
    orders_in_doubt: int
    unhedged_seconds_max: Amount


class SafeAnswer(View):
    """Am I safe: notional at work against the capital of the account."""

    answer: Answer
    exposure_usdt: Amount | None
    exposure_limit_usdt: Amount | None
    equity_usdt: Amount | None
    ledger_difference_usdt: Amount | None


class EarningAnswer(View):
    """Am I earning: net of every cost, since the start and over the last 24 venue hours."""

    answer: Answer
    net_usdt: Amount | None
    net_24h_usdt: Amount | None
    funding_usdt: Amount | None
    fees_usdt: Amount | None
    basis_usdt: Amount | None
    next_due_usdt: Amount | None
    return_on_capital: Amount | None


class Need(View):
    """One thing that asks for a person, or is only watched."""

    kind: Literal["needs_you", "watching"]
    title: str
    detail: str


class LatestEvent(View):
    """One line of what happened last."""

    at: datetime
    kind: Literal["decision", "opened", "closed", "funding", "alarm"]
    sentence: str
    amount_usdt: Amount | None


class OverviewView(View):
    """The four answers of the home page."""

    as_of: datetime | None
    hedged: HedgedAnswer
    safe: SafeAnswer
    earning: EarningAnswer
    needs: list[Need]
    latest: list[LatestEvent]


class EquityPoint(View):
    """Equity of the account at one venue instant; ``funding_usdt`` is cumulated since the start."""

    at: datetime
    equity_usdt: Amount
    net_usdt: Amount
    funding_usdt: Amount


class SettlementPoint(View):
    """Funding received (+) or paid (-) by all pairs at one settlement."""

    at: datetime
    funding_usdt: Amount


class EquityView(View):
    """Equity and funding for the chart, oldest first."""

    as_of: datetime | None
    points: list[EquityPoint]
    settlements: list[SettlementPoint]


class PairView(View):
    """One pair that is held, being opened or being closed."""

    pair: str
    symbol: str
    base: str
    state: PairState
    opened_at: datetime
    spot_quantity: Amount
    perp_quantity: Amount
    notional_usdt: Amount | None
    net_delta_usdt: Amount | None
    last_rate: Amount | None
    expected_rate: Amount | None
    funding_interval_hours: Amount | None
    annualized_on_notional: Amount | None
    funding_usdt: Amount
    fees_usdt: Amount
    basis_usdt: Amount | None
    net_usdt: Amount | None
    due_usdt: Amount | None
    next_settlement_at: datetime | None
    break_even_ratio: Amount | None
    correlation_id: str


class ConvictionPartView(View):
    """One part of a conviction, 0 (against) to 1 (for), and what it weighs; weights sum to 1."""

    name: str
    value: Amount
    weight: Amount | None


class SizeLimitView(View):
    """What one limit allows, in base units; the least of them binds."""

    name: str
    quantity: Amount


class SignalsView(View):
    """What statistics say of the settled rates; shares and probabilities are 0 to 1.

    ``slope`` is per settlement, ``percentile`` where the newest rate lies among those known,
    ``persistence`` the chance that a positive rate follows a positive one. A forecast without
    skill is shown and not used. ``basis_usual`` is the level the basis is expected to return to,
    ``hold_deviation`` what the hold may miss by, funding and basis together, of notional.
    """

    regime: str | None
    percentile: Amount | None
    z_score: Amount | None
    slope: Amount | None
    slope_p: Amount | None
    persistence: Amount | None
    hold_mean: Amount | None
    hold_error: Amount | None
    worst_rate: Amount | None
    has_skill: bool | None
    basis_usual: Amount | None
    hold_deviation: Amount | None


class OpportunityView(View):
    """What the last decision thought of one symbol.

    ``expected_funding`` minus ``cost`` is ``value``, all fractions of notional over ``hold_hours``.
    ``break_even_settlements`` is rounded up; ``_shorter`` is what it would be at the next shorter
    interval. ``funding_error`` is the standard error of ``expected_funding``, ``return_on_capital``
    the value over all capital bound and ``_error`` the standard deviation of what the hold may miss
    by, ``capacity_quantity`` the largest size that breaks even within the limit, and more where the
    known levels of a book end before (``capacity_is_open``).
    ``reserve_rate`` is the cash kept per unit of notional, ``kelly_share`` a share of capital.
    ``hold_left_settlements`` are missing until a held pair has earned its costs, ``liquidation_up``
    is the rise of its price that liquidates the account. ``basis_percentile`` is where the basis
    stands among those of the past, 0 to 1; nothing is opened under its ``_limit``. ``reason`` is
    a code, ``sentence`` says it in words.
    """

    rank: int
    pair: str
    symbol: str
    base: str
    verdict: Verdict
    reason: str
    sentence: str
    last_rate: Amount | None
    expected_rate: Amount | None
    funding_interval_hours: Amount | None
    annualized_on_notional: Amount | None
    expected_funding: Amount | None
    fee_cost: Amount | None
    slippage_cost: Amount | None
    basis_cost: Amount | None
    cost: Amount | None
    value: Amount | None
    hold_hours: Amount | None
    break_even_settlements: int | None
    break_even_hours: Amount | None
    basis_rate: Amount | None
    basis_percentile: Amount | None
    basis_percentile_limit: Amount | None
    target_quantity: Amount | None
    target_notional_usdt: Amount | None
    binding_limit: str | None
    limits: list[SizeLimitView]
    capacity_quantity: Amount | None
    capacity_is_open: bool
    funding_error: Amount | None
    return_on_capital: Amount | None
    return_on_capital_error: Amount | None
    break_even_shorter_settlements: int | None
    break_even_shorter_hours: Amount | None
    loss_probability: Amount | None
    loss_probability_limit: Amount | None
    conviction: Amount | None
    conviction_parts: list[ConvictionPartView]
    kelly_share: Amount | None
    reserve_rate: Amount | None
    hold_left_settlements: int | None
    liquidation_up: Amount | None
    signals: SignalsView | None


class OpportunitiesView(View):
    """The ranking of the last decision, best first."""

    decision_id: str | None
    decided_at: datetime | None
    policy_hash: str | None
    break_even_limit_settlements: int | None
    rows: list[OpportunityView]


class IntentView(View):
    """One target of a decision, and how far the executor has come with it."""

    id: str
    pair: str
    quantity: Amount
    until: datetime | None
    reason: str
    correlation_id: str
    plan_id: str | None
    plan_state: str | None
    plan_reason: str | None


class DecisionView(View):
    """One decision with its verdicts, best first; ``inputs_kept`` means that it can be replayed."""

    id: str
    decided_at: datetime
    policy_hash: str
    inputs_hash: str
    inputs_kept: bool
    correlation_id: str
    break_even_limit_settlements: int | None
    rows: list[OpportunityView]
    intents: list[IntentView]


class OrderView(View):
    """One order we sent, with what became of it."""

    client_order_id: str
    correlation_id: str
    pair: str
    category: Literal["spot", "linear"]
    symbol: str
    side: Literal["Buy", "Sell"]
    quantity: Amount
    limit_price: Amount
    filled_quantity: Amount
    average_price: Amount | None
    state: str
    created_at: datetime


class LedgerEntryView(View):
    """One posting; the postings of a group sum to zero per asset."""

    group_id: int
    account: str
    asset: str
    amount: Amount
    kind: str
    pair: str | None
    at: datetime
    correlation_id: str | None


class FundingRateView(View):
    """One settled funding rate."""

    symbol: str
    settled_at: datetime
    rate: Amount
    interval_hours: Amount


class SkippedReasonView(View):
    """What one reason kept out, each pair once a hold; fractions of notional, earned positive.

    ``running`` of the ``skipped`` holds are not over; ``known`` have a result, which is what the
    sums are of. ``share_won`` (0 to 1) of those would have earned anything.
    """

    reason: str
    skipped: int
    running: int
    known: int
    would_have_earned: Amount | None
    mean: Amount | None
    share_won: Amount | None


class SkippedView(View):
    """The reasons of the last ``days``, the most expensive first; ``as_of`` is venue time.

    A hold lasts ``hold_hours``: funding that settled, plus what the basis fell, minus fees and
    slippage both ways. A pair that was opened later, within that hold, counts here as well.
    """

    as_of: datetime | None
    days: int
    hold_hours: Amount | None
    reasons: list[SkippedReasonView]


class ForecastView(View):
    """The newest forecast of the mean rate over the next ``horizon`` ends of eight hours.

    It was stored at ``made_of``, before anything of it had settled. Rates per eight hours; ``low``
    to ``high`` is stated to hold 80 %. Without skill it is shown and sizes nothing. Of the past
    ones ``over`` are scored: root mean squared errors beside those of "the next equals the last",
    ``skill`` one less the quotient of their squares, ``in_range`` the share inside the range.
    """

    horizon: int
    made_of: datetime
    mean: Amount
    low: Amount | None
    high: Amount | None
    last: Amount
    has_skill: bool
    over: int
    rmse: Amount | None
    rmse_naive: Amount | None
    skill: Amount | None
    in_range: Amount | None


class ForecastsView(View):
    """One symbol's forecasts, scored over the last ``days`` of venue time."""

    symbol: str
    days: int
    horizons: list[ForecastView]


class RunView(View):
    """One back-test run, queued, running or done: ``done`` of ``total`` steps, where it tells."""

    id: str
    kind: str
    state: Literal["queued", "running", "done", "failed"]
    created_at: datetime
    net_usdt: Amount | None
    detail: str | None
    done: int | None
    total: int | None


class StreamEvent(View):
    """One server-sent event: ``id`` is the resume token, ``event`` the topic that changed.

    Topics: ``status`` (carries a StatusView), ``overview`` (OverviewView), ``pairs``
    (list of PairView), ``opportunities`` (OpportunitiesView), ``equity`` (hint to read again).
    """

    topic: Literal["status", "overview", "pairs", "opportunities", "equity"]
