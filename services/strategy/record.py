"""A decision as it is journaled: its inputs in full, its verdicts, and how to decide it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from shared.domain.market import MarketSnapshot
from shared.domain.money import plain
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.strategy import Appraisal, Decision, decide


@dataclass(frozen=True)
class DecisionInputs:
    """Everything ``decide`` looked at."""

    portfolio: Portfolio
    market: MarketSnapshot
    policy: CarryPolicy

    def decide(self) -> Decision:
        """Return the decision these inputs lead to."""
        return decide(self.portfolio, self.market, self.policy)


_ENCODER = msgspec.json.Encoder(decimal_format="string", order="sorted")
_DECODER = msgspec.json.Decoder(DecisionInputs)


def encode_inputs(inputs: DecisionInputs) -> bytes:
    """Return the inputs as canonical JSON: equal inputs give equal bytes."""
    return _ENCODER.encode(inputs)


def decode_inputs(body: bytes) -> DecisionInputs:
    """Return the inputs stored as ``body``."""
    inputs: DecisionInputs = _DECODER.decode(body)
    return inputs


def inputs_hash(body: bytes) -> str:
    """Return the key under which ``body`` is stored once."""
    return sha256(body).hexdigest()


def verdicts(decision: Decision, policy: CarryPolicy) -> dict[str, Any]:
    """Return what the decision thought of each pair, best first, decimals as plain strings."""
    return {
        "hold_hours": str(int(policy.hold.total_seconds()) // 3600),
        "break_even_limit_settlements": policy.break_even_limit_settlements,
        "gross_limit": plain(policy.gross_notional),
        "appraisals": [_appraisal(a) for a in decision.appraisals],
        "intents": [
            {"pair": i.pair, "quantity": plain(i.quantity), "reason": i.reason}
            for i in decision.intents
        ],
    }


def _appraisal(appraisal: Appraisal) -> Mapping[str, Any]:
    costs = appraisal.costs
    hours = None
    if appraisal.interval is not None:
        hours = plain(Decimal(int(appraisal.interval.total_seconds())) / 3600)
    return {
        "pair": appraisal.pair,
        "verdict": appraisal.verdict.value,
        "reason": appraisal.reason.value,
        "last_rate": _text(appraisal.last_rate),
        "expected_rate": _text(appraisal.expected_rate),
        "interval_hours": hours,
        "basis_rate": _text(appraisal.basis_rate),
        "expected_funding": _text(appraisal.expected_funding),
        "fee_cost": None if costs is None else plain(costs.fees),
        "slippage_cost": None if costs is None else plain(costs.slippage),
        "basis_cost": None if costs is None else plain(costs.basis),
        "cost": None if costs is None else plain(costs.total),
        "value": _text(appraisal.value),
        "break_even_settlements": appraisal.break_even_settlements,
        "quantity": plain(appraisal.quantity),
        "notional": _text(appraisal.notional),
        "binding_limit": appraisal.binding_limit,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
