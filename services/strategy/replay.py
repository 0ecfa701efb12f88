"""Decide a journaled decision again and compare: the same inputs must give the same verdicts."""

from dataclasses import dataclass

from services.strategy.record import OldRecord, decode_inputs, verdicts
from shared.store.decisions import StoredDecision


@dataclass(frozen=True, slots=True)
class Replay:
    """``difference`` names the first thing that is not equal; None when all is."""

    decision_id: str
    difference: str | None


def replay(stored: StoredDecision) -> Replay:
    """Return whether ``decide`` still says what it said.

    Raises: LookupError when the inputs were not kept, or are those of an older program.
    """
    if stored.inputs is None:
        raise LookupError(
            f"the inputs of decision {stored.id} are no longer stored: "
            "passes that change nothing are kept for 7 days"
        )
    try:
        inputs = decode_inputs(stored.inputs)
    except OldRecord as old:
        raise LookupError(f"decision {stored.id} cannot be decided again: {old}") from old
    again = verdicts(inputs.decide(), inputs.policy)
    return Replay(stored.id, _first_difference(dict(stored.verdicts), again, "decision"))


def _first_difference(stored: object, again: object, where: str) -> str | None:
    if isinstance(stored, dict) and isinstance(again, dict):
        for key in sorted({*stored, *again}):
            found = _first_difference(stored.get(key), again.get(key), f"{where}.{key}")
            if found:
                return found
        return None
    if isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for place, (one, other) in enumerate(zip(stored, again, strict=True)):
            found = _first_difference(one, other, f"{where}[{place}]")
            if found:
                return found
        return None
    return None if stored == again else f"{where}: stored {stored!r}, now {again!r}"
