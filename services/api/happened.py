"""What happened last, one sentence each, newest first: pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from services.api.amounts import tidy
from services.api.schemas import LatestEvent
from services.api.words import count, listed
from shared.domain.money import ZERO, plain
from shared.store.views.desk import DeskRows
from shared.store.views.latest import AlarmRow, FundingRow, PlanEnd

KEPT: Final = 20
RESIDUAL: Final = "residual"
SUPERSEDED: Final = "superseded"


def latest_events(desk: DeskRows) -> list[LatestEvent]:
    """Return the newest events, at venue instants."""
    events = [
        *_decisions(desk.plans),
        *(event for plan in desk.plans if (event := _end(plan)) is not None),
        *map(_settlement, desk.funding),
        *map(_alarm, desk.alarms),
    ]
    return sorted(events, key=lambda event: event.at, reverse=True)[:KEPT]


def _decisions(plans: Iterable[PlanEnd]) -> list[LatestEvent]:
    at: dict[datetime, list[PlanEnd]] = defaultdict(list)
    for plan in plans:
        if plan.reason != RESIDUAL:
            at[plan.decided_at].append(plan)
    return [_decision(instant, chosen) for instant, chosen in at.items()]


def _decision(instant: datetime, plans: list[PlanEnd]) -> LatestEvent:
    bought = sorted(p.base for p in plans if p.target_quantity > ZERO)
    sold = sorted(p.base for p in plans if p.target_quantity == ZERO)
    parts = [f"open {listed(bought)}"] if bought else []
    parts += [f"close {listed(sold)}"] if sold else []
    return _event(instant, "decision", f"Decided to {listed(parts)}.")


def _end(plan: PlanEnd) -> LatestEvent | None:
    """Return how a plan ended; None while it runs, or when it gave way to a newer one."""
    at, quantity = plan.finished_venue_at, plain(plan.target_quantity)
    wanted = "opened" if plan.target_quantity > ZERO else "closed"
    if plan.state == "broken":
        return _event(at, "alarm", f"{plan.base} is broken: one leg stands without the other.")
    if SUPERSEDED in plan.reason or plan.reason == RESIDUAL:
        return None
    if plan.state == "refused":
        return _event(at, "decision", f"{plan.base} was not {wanted}: {_words(plan.reason)}.")
    if plan.state == "hedged" and plan.target_quantity > ZERO:
        return _event(at, "opened", f"Opened {plan.base}: {quantity} spot against the perpetual.")
    if plan.state == "flat" and plan.perp_at_start != ZERO:
        return _event(at, "closed", f"Closed {plan.base}: {_words(plan.reason)}.")
    if plan.state == "flat" and plan.target_quantity > ZERO:
        return _event(at, "decision", f"{plan.base} was not opened: no hedge at the limit price.")
    return None


def _settlement(row: FundingRow) -> LatestEvent:
    verb = "Received" if row.amount >= ZERO else "Paid"
    sentence = f"{verb} funding on {count(row.pairs, 'pair')}."
    return LatestEvent(at=row.at, kind="funding", sentence=sentence, amount_usdt=tidy(row.amount))


def _alarm(row: AlarmRow) -> LatestEvent:
    return _event(row.at, "alarm", f"{_words(row.name).capitalize()}: {row.detail}")


def _event(at: datetime, kind: str, sentence: str) -> LatestEvent:
    return LatestEvent.model_validate(
        {"at": at, "kind": kind, "sentence": sentence, "amount_usdt": None}
    )


def _words(code: str) -> str:
    return code.replace("_", " ")
