"""A decision as it is journaled: its inputs in full, its verdicts, and how to decide it again."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import msgspec

from shared.domain.conviction import PARTS, Parts
from shared.domain.costs import BreakEven
from shared.domain.market import MarketSnapshot
from shared.domain.money import plain
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.signals import Signals
from shared.domain.strategy import Appraisal, Decision, decide

RECORD: Final = 3
"""How inputs are written: 1 had no signals, 2 none of the basis."""

UNTOLD: Final = ("as_of", "basis_levels", "hold_outcomes")
SIGNALS: Final = tuple(field.name for field in fields(Signals) if field.name not in UNTOLD)
"""The signals that verdicts tell of; all of them are in the inputs."""


class OldRecord(LookupError):
    """The inputs were written by a program whose decisions took other inputs."""


@dataclass(frozen=True)
class DecisionInputs:
    """Everything ``decide`` looked at."""

    portfolio: Portfolio
    market: MarketSnapshot
    policy: CarryPolicy
    record: int = RECORD

    def decide(self) -> Decision:
        """Return the decision these inputs lead to."""
        return decide(self.portfolio, self.market, self.policy)


class _Stamp(msgspec.Struct):
    record: int = 1


_ENCODER = msgspec.json.Encoder(decimal_format="string", order="sorted")
_DECODER = msgspec.json.Decoder(DecisionInputs)


def encode_inputs(inputs: DecisionInputs) -> bytes:
    """Return the inputs as canonical JSON: equal inputs give equal bytes."""
    return _ENCODER.encode(inputs)


def decode_inputs(body: bytes) -> DecisionInputs:
    """Return the inputs stored as ``body``.

    Raises: OldRecord when they lack what is decided from now.
    """
    record = msgspec.json.decode(body, type=_Stamp).record
    if record != RECORD:
        raise OldRecord(
            f"its inputs are of record {record}, this program decides from record {RECORD}: "
            "replay it with the version that stored it"
        )
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
        "loss_probability_limit": plain(policy.loss_probability_max),
        "liquidation_up": _text(decision.line.up),
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
    parts = appraisal.parts
    return {
        "pair": appraisal.pair,
        "verdict": appraisal.verdict.value,
        "reason": appraisal.reason.value,
        "last_rate": _text(appraisal.last_rate),
        "expected_rate": _text(appraisal.expected_rate),
        "interval_hours": hours,
        "basis_rate": _text(appraisal.basis_rate),
        "basis_percentile": _text(appraisal.basis_percentile),
        "expected_funding": _text(appraisal.expected_funding),
        "fee_cost": None if costs is None else plain(costs.fees),
        "slippage_cost": None if costs is None else plain(costs.slippage),
        "basis_cost": None if costs is None else plain(costs.basis),
        "cost": None if costs is None else plain(costs.total),
        "value": _text(appraisal.value),
        **_break_even("break_even", appraisal.break_even),
        **_break_even("break_even_shorter", appraisal.break_even_shorter),
        "funding_error": _text(appraisal.funding_error),
        "return_on_capital": _text(appraisal.return_on_capital),
        "loss_probability": _text(appraisal.loss_probability),
        "conviction": _text(appraisal.conviction),
        "conviction_parts": None if parts is None else _texts(parts),
        "kelly": _text(appraisal.kelly),
        "reserve_rate": _text(appraisal.reserve_rate),
        "hold_left": appraisal.hold_left,
        "liquidation_up": _text(appraisal.liquidation_up),
        "depth_short": None if costs is None else costs.depth_short,
        "signals": None if appraisal.signals is None else _signals(appraisal.signals),
        "quantity": plain(appraisal.quantity),
        "notional": _text(appraisal.notional),
        "binding_limit": appraisal.binding_limit,
        "capacity": _text(appraisal.capacity),
        "capacity_is_open": appraisal.capacity_is_open,
        "limits": {name: plain(limit) for name, limit in sorted(appraisal.limits.items())},
    }


def _break_even(name: str, found: BreakEven | None) -> dict[str, Any]:
    return {
        f"{name}_settlements": None if found is None else found.settlements,
        f"{name}_hours": None if found is None else plain(found.hours),
    }


def _signals(signals: Signals) -> dict[str, Any]:
    values = {name: getattr(signals, name) for name in SIGNALS}
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in values.items()
    }


def _texts(parts: Parts) -> dict[str, str]:
    return {name: plain(getattr(parts, name)) for name in PARTS}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
