"""decide(): which pairs to hold, and why not the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from shared.domain.appraisal import Appraisal, Verdict, appraise
from shared.domain.choice import Candidate, Shared, Taken, choose
from shared.domain.intents import HoldPair
from shared.domain.margin import (
    Account,
    Exposure,
    LiquidationLine,
    liquidation_line,
    notional_within,
)
from shared.domain.market import MarketSnapshot, PairMarket
from shared.domain.money import ZERO
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.sizing import size_within
from shared.domain.universe import Reason

__all__ = ["Appraisal", "Decision", "Verdict", "decide"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The intents wanted at one instant, and an appraisal of every pair, best first.

    ``line`` is how far all prices together may move before the account is liquidated.
    """

    instant: datetime
    intents: tuple[HoldPair, ...]
    appraisals: tuple[Appraisal, ...]
    line: LiquidationLine = field(default_factory=lambda: LiquidationLine(None, None))

    @property
    def passed_over(self) -> tuple[Appraisal, ...]:
        """The pairs not held and not wanted, each with its reason."""
        return tuple(a for a in self.appraisals if a.verdict is Verdict.PASSED_OVER)


def decide(portfolio: Portfolio, market: MarketSnapshot, policy: CarryPolicy) -> Decision:
    """Return what to hold from ``market.instant`` on: opens, closes, and a reason for the rest.

    Each pair is judged by itself, then the set is chosen that is worth most under what all share. A
    held pair gives way only to what is worth its room and the switch; the newcomer is opened once
    that room is there. A number that is missing never causes a trade.
    """
    alone = [
        appraise(market.pairs[name], portfolio, policy, market.instant)
        for name in sorted(market.pairs)
    ]
    fitted = _Fit(sorted(alone, key=_best_first), market, policy).fitted()
    intents = tuple(
        HoldPair(a.pair, a.quantity, _until(a, market.instant, policy), a.reason.value)
        for a in sorted(fitted, key=lambda a: (a.verdict is not Verdict.CLOSE, _best_first(a)))
        if a.verdict in (Verdict.OPEN, Verdict.CLOSE)
    )
    return _with_lines(Decision(market.instant, intents, tuple(fitted)), market, policy)


class _Fit:
    """Gives the room that all pairs share to the set that is worth most."""

    def __init__(
        self, ranked: Sequence[Appraisal], market: MarketSnapshot, policy: CarryPolicy
    ) -> None:
        self._ranked, self._market, self._policy = ranked, market, policy
        self._shared = _shared(policy)

    def fitted(self) -> list[Appraisal]:
        """Return the appraisals in their order, each with its last verdict."""
        wanted = [a for a in self._ranked if a.verdict in (Verdict.OPEN, Verdict.HOLD)]
        if all(a.verdict is Verdict.HOLD for a in wanted):
            return list(self._ranked)  # nobody asks for room
        candidates = {a.pair: self._candidate(a) for a in wanted}
        chosen = choose(list(candidates.values()), self._shared)
        taken = Taken()
        for a in wanted:
            if a.verdict is Verdict.HOLD:  # also what gives way: its room is not there yet
                taken.add(candidates[a.pair])
        fitted = []
        for a in self._ranked:
            if a.verdict is Verdict.HOLD and a.pair not in chosen:
                a = replace(a, verdict=Verdict.CLOSE, reason=Reason.ROTATED, quantity=ZERO)
            elif a.verdict is Verdict.OPEN and a.pair in chosen:
                a = self._opened(a, candidates[a.pair], taken)
            fitted.append(a)
        return [self._trimmed(a, taken) if self._waits(a, chosen) else a for a in fitted]

    def _waits(self, a: Appraisal, chosen: frozenset[str]) -> bool:
        return a.verdict is Verdict.OPEN and a.pair not in chosen

    def _opened(self, a: Appraisal, candidate: Candidate, taken: Taken) -> Appraisal:
        blocked = taken.blocked_by(candidate, self._shared)
        if blocked is not None:
            return _no_room(a, blocked)
        taken.add(candidate)
        return a

    def _trimmed(self, a: Appraisal, taken: Taken) -> Appraisal:
        """Cut a pair to the room that is left; too little of it is none."""
        blocked = taken.blocked_by(self._candidate(a), self._shared)
        if blocked is None or blocked == "max_pairs":
            return _no_room(a, blocked or "switching")
        of = self._market.pairs[a.pair]
        mark, perp = of.mark_price, of.perp
        assert mark is not None
        assert perp is not None
        assert a.reserve_rate is not None
        rooms = self._shared.rooms(taken, self._cluster(of), a.reserve_rate)
        limits = {**a.limits, **{name: room / mark for name, room in rooms.items()}}
        size = size_within(limits, of.pair, (perp.bid, perp.bid))
        if size.quantity == ZERO or size.quantity < a.quantity * self._policy.trim_share:
            return replace(_no_room(a, blocked), limits=limits)
        cut = replace(
            a,
            quantity=size.quantity,
            notional=size.quantity * perp.bid,
            binding_limit=size.binding_limit,
            limits=limits,
        )
        taken.add(self._candidate(cut))
        return cut

    def _candidate(self, a: Appraisal) -> Candidate:
        """Return what the choice weighs; a held pair of which nothing is known stays."""
        of = self._market.pairs[a.pair]
        notional = ZERO if of.mark_price is None else a.quantity * of.mark_price
        is_held = a.verdict is Verdict.HOLD
        # What is held has its way out still to pay, staying or not: only the funding differs.
        worth = (a.expected_funding if is_held else a.value) or ZERO
        # Where what must be kept is not known nothing is opened.
        unknown = a.reserve_rate is None
        reserve = self._policy.capital if unknown else notional * (a.reserve_rate or ZERO)
        is_free = a.reason is Reason.WORTH_STAYING and a.hold_left == 0
        return Candidate(
            pair=a.pair,
            cluster=self._cluster(of),
            notional=notional,
            worth=worth * notional,
            leaving=self._policy.switching_margin * notional if is_held else ZERO,
            reserve=reserve,
            is_held=is_held,
            is_fixed=is_held and not is_free,
        )

    def _cluster(self, market: PairMarket) -> str:
        return self._policy.cluster(market.pair.base)


def _shared(policy: CarryPolicy) -> Shared:
    return Shared(
        pairs=policy.max_pairs,
        gross=policy.gross_notional,
        cluster=policy.cluster_notional,
        capital=policy.capital * policy.capital_share,
        cash=policy.capital,
        margin=notional_within(
            policy.capital,
            policy.liquidation_distance,
            policy.collateral_ratio,
            policy.maintenance_rate,
            policy.borrow_margin_rate,
        ),
    )


def _no_room(a: Appraisal, limit: str) -> Appraisal:
    return replace(
        a,
        verdict=Verdict.PASSED_OVER,
        reason=Reason.NO_ROOM,
        quantity=ZERO,
        binding_limit=limit,
    )


def _with_lines(decision: Decision, market: MarketSnapshot, policy: CarryPolicy) -> Decision:
    """Return the decision with what liquidates the account that holds its targets (R3).

    Targets are valued at the mark, as if opened now; a pair without a mark makes it unknown.
    """
    held = [a for a in decision.appraisals if a.quantity > ZERO]
    if not held or any(market.pairs[a.pair].mark_price is None for a in held):
        return decision
    exposures = tuple(_exposure(a, market.pairs[a.pair], policy) for a in held)
    spent = sum((e.spot_quantity * e.mark_price for e in exposures), ZERO)
    account = Account(policy.capital - spent, exposures, policy.borrow_margin_rate)
    lines = {a.pair: liquidation_line(account, (a.pair,)) for a in held}
    return replace(
        decision,
        appraisals=tuple(
            replace(a, liquidation_up=lines[a.pair].up) if a.pair in lines else a
            for a in decision.appraisals
        ),
        line=liquidation_line(account),
    )


def _exposure(a: Appraisal, market: PairMarket, policy: CarryPolicy) -> Exposure:
    mark = market.mark_price
    assert mark is not None
    return Exposure(
        pair=a.pair,
        spot_quantity=a.quantity,
        perp_quantity=-a.quantity,
        entry_price=mark,
        mark_price=mark,
        collateral=policy.collateral_ratio,
        maintenance=policy.maintenance_rate,
    )


def _best_first(appraisal: Appraisal) -> tuple[bool, Decimal, str]:
    known = appraisal.value is not None
    return (not known, -(appraisal.value or ZERO), appraisal.pair)


def _until(appraisal: Appraisal, instant: datetime, policy: CarryPolicy) -> datetime | None:
    return instant + policy.hold if appraisal.verdict is Verdict.OPEN else None
