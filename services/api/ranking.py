"""The ranking of a decision, as journaled, for people: pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from services.api.amounts import tidy
from services.api.schemas import (
    ConvictionPartView,
    DecisionView,
    IntentView,
    OpportunitiesView,
    OpportunityView,
    SignalsView,
    SizeLimitView,
)
from services.api.words import decimal_of, sentence
from shared.domain.money import ONE, ZERO, ratio
from shared.domain.profit import WIDE
from shared.store.views.decisions import DecisionRow, IntentOutcome

HOURS_A_YEAR: Final = Decimal(8_760)
RATES: Final = (
    "last_rate", "expected_rate", "expected_funding", "fee_cost", "slippage_cost", "basis_cost",
    "cost", "value", "basis_rate", "basis_percentile", "funding_error", "return_on_capital",
    "loss_probability", "conviction", "reserve_rate", "liquidation_up", "break_even_shorter_hours",
)  # fmt: skip
THRESHOLDS: Final = {
    "limit_margin": "entry_margin",
    "limit_pairs": "max_pairs",
    "limit_gross": "gross_notional",
    "limit_basis": "basis_limit",
    "limit_history": "forecast_settlements",
    "limit_cluster": "cluster_notional",
    "limit_loss": "loss_probability_max",
    "limit_basis_percentile": "basis_percentile_min",
    "limit_switching": "switching_margin",
}


def opportunities(decision: DecisionRow | None) -> OpportunitiesView:
    """Return the ranking of ``decision``, best first; empty before the first one."""
    if decision is None:
        return OpportunitiesView(
            decision_id=None,
            decided_at=None,
            policy_hash=None,
            break_even_limit_settlements=None,
            rows=[],
        )
    return OpportunitiesView(
        decision_id=decision.id,
        decided_at=decision.decided_at,
        policy_hash=decision.policy_hash,
        break_even_limit_settlements=decision.verdicts.get("break_even_limit_settlements"),
        rows=_rows(decision),
    )


def decision_view(decision: DecisionRow, intents: Iterable[IntentOutcome]) -> DecisionView:
    """Return one decision with its verdicts and its targets."""
    return DecisionView(
        id=decision.id,
        decided_at=decision.decided_at,
        policy_hash=decision.policy_hash,
        inputs_hash=decision.inputs_hash,
        inputs_kept=decision.inputs_kept,
        correlation_id=decision.correlation_id,
        break_even_limit_settlements=decision.verdicts.get("break_even_limit_settlements"),
        rows=_rows(decision),
        intents=[_intent(row) for row in intents],
    )


def annualized(rate: Decimal | None, interval_hours: Decimal | None) -> Decimal | None:
    """Return a rate per interval as one per year, for people; None when either is not known."""
    if rate is None or not interval_hours:
        return None
    return tidy(ratio(WIDE.multiply(rate, HOURS_A_YEAR), interval_hours))


def _rows(decision: DecisionRow) -> list[OpportunityView]:
    appraisals = decision.verdicts.get("appraisals", [])
    return [_row(rank, appraisal, decision) for rank, appraisal in enumerate(appraisals, 1)]


def _row(rank: int, appraisal: Mapping[str, Any], decision: DecisionRow) -> OpportunityView:
    pair = str(appraisal["pair"])
    base = decision.bases.get(pair, pair.removesuffix("USDT"))
    hold_hours = decision.verdicts.get("hold_hours")
    limits = {name: decision.policy.get(key) for name, key in THRESHOLDS.items()}
    limits["limit_settlements"] = decision.verdicts.get("break_even_limit_settlements")
    interval = decimal_of(appraisal.get("interval_hours"))
    settlements = appraisal.get("break_even_settlements")
    rates = {name: decimal_of(appraisal.get(name)) for name in RATES}
    return OpportunityView(
        rank=rank,
        pair=pair,
        symbol=pair,
        base=base,
        verdict=appraisal["verdict"],
        reason=appraisal["reason"],
        sentence=sentence(base, {**appraisal, **limits, "hold_hours": hold_hours}),
        funding_interval_hours=interval,
        annualized_on_notional=annualized(rates["expected_rate"], interval),
        hold_hours=decimal_of(hold_hours),
        break_even_settlements=settlements,
        break_even_hours=None
        if settlements is None or interval is None
        else settlements * interval,
        target_quantity=decimal_of(appraisal.get("quantity")),
        target_notional_usdt=decimal_of(appraisal.get("notional")),
        binding_limit=appraisal.get("binding_limit"),
        limits=_limits(appraisal),
        capacity_quantity=decimal_of(appraisal.get("capacity")),
        capacity_is_open=bool(appraisal.get("capacity_is_open")),
        break_even_shorter_settlements=appraisal.get("break_even_shorter_settlements"),
        basis_percentile_limit=decimal_of(limits["limit_basis_percentile"]),
        loss_probability_limit=decimal_of(limits["limit_loss"]),
        conviction_parts=_parts(appraisal, decision.policy),
        kelly_share=decimal_of(appraisal.get("kelly")),
        hold_left_settlements=appraisal.get("hold_left"),
        signals=_signals(appraisal.get("signals")),
        return_on_capital_error=_error_on_capital(appraisal, decision.policy),
        **rates,
    )


def _error_on_capital(appraisal: Mapping[str, Any], policy: Mapping[str, Any]) -> Decimal | None:
    """Return what the hold may miss by over all the capital it binds: spot, margin and reserve."""
    deviation = decimal_of((appraisal.get("signals") or {}).get("hold_deviation"))
    margin = decimal_of(policy.get("maintenance_rate"))
    reserve = decimal_of(appraisal.get("reserve_rate"))
    if deviation is None or margin is None or reserve is None:
        return None
    return tidy(ratio(deviation, ONE + margin + reserve))


def _limits(appraisal: Mapping[str, Any]) -> list[SizeLimitView]:
    """Return what each limit allows, the one that binds first."""
    known = [
        SizeLimitView(name=name, quantity=Decimal(quantity))
        for name, quantity in (appraisal.get("limits") or {}).items()
    ]
    return sorted(known, key=lambda limit: (limit.quantity, limit.name))


def _parts(appraisal: Mapping[str, Any], policy: Mapping[str, Any]) -> list[ConvictionPartView]:
    """Return the parts of the conviction, the heaviest first; none where none was formed."""
    known = [
        ConvictionPartView(
            name=name, value=Decimal(value), weight=decimal_of(policy.get(f"weight_{name}"))
        )
        for name, value in (appraisal.get("conviction_parts") or {}).items()
    ]
    return sorted(known, key=lambda part: (-(part.weight or ZERO), part.name))


def _signals(told: Mapping[str, Any] | None) -> SignalsView | None:
    """Return the signals as journaled; those that people are not shown are left out."""
    if told is None:
        return None
    return SignalsView.model_validate({name: told.get(name) for name in SignalsView.model_fields})


def _intent(row: IntentOutcome) -> IntentView:
    return IntentView(
        id=row.id,
        pair=row.pair,
        quantity=row.quantity,
        until=row.until_at,
        reason=row.reason,
        correlation_id=row.correlation_id,
        plan_id=row.plan_id,
        plan_state=row.plan_state,
        plan_reason=row.plan_reason,
    )
