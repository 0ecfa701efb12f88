"""Policy and limits from a TOML file: unknown keys refused, ranges checked, hashed by content.

[carry]
entry_margin = 0.0010     # decimals are read exactly as written
hold_days = 21            # a duration says its unit: _seconds, _hours or _days
[execution]
bands = ["0.001", "0.003", "0.01"]
[limits]
gross_notional = 60000
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from shared.domain.errors import Misconfigured
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits

T = TypeVar("T")
Value = Decimal | int | str | timedelta

HASH_DIGITS: Final = 16
DURATIONS: Final = {"seconds": 1, "hours": 3_600, "days": 86_400}

_FRACTION: Final = (Decimal(0), Decimal("0.5"))
_USDT: Final = (Decimal(1), Decimal(1_000_000_000))
_MAKER_FEE: Final = (Decimal("-0.01"), Decimal("0.5"))
_HEDGE_SECONDS: Final = (Decimal("0.1"), Decimal(60))
_WINDOW: Final = (timedelta(0), timedelta(hours=1))
_SHARE: Final = (Decimal(0), Decimal(1))

BOUNDS: Final[Mapping[type, Mapping[str, tuple[Value, Value]]]] = {
    CarryPolicy: {
        "forecast_settlements": (3, 1_000),
        "history": (timedelta(days=1), timedelta(days=1_100)),
        "exit_settlements": (1, 1_000),
        "hold": (timedelta(hours=1), timedelta(days=366)),
        "entry_margin": _FRACTION,
        "break_even_limit_settlements": (1, 10_000),
        "loss_probability_max": _SHARE,
        "basis_percentile_min": _SHARE,
        "entry_lead": _WINDOW,
        "exit_margin": _FRACTION,
        "exit_confidence": (Decimal("0.5"), Decimal("0.999")),
        "payment_wait": (timedelta(0), timedelta(hours=8)),
        "switching_margin": _FRACTION,
        "slippage_allowance": _FRACTION,
        "pair_notional": _USDT,
        "gross_notional": _USDT,
        "cluster_notional": _USDT,
        "clusters": ("0", "~"),
        "max_pairs": (1, 100),
        "depth_share": (Decimal("0.001"), Decimal(1)),
        "trim_share": _SHARE,
        "capital": _USDT,
        "capital_share": (Decimal("0.01"), Decimal(1)),
        "kelly_fraction": (Decimal("0.01"), Decimal(1)),
        "kelly_cap": (Decimal("0.001"), Decimal(1)),
        "collateral_ratio": _SHARE,
        "maintenance_rate": _FRACTION,
        "borrow_margin_rate": _FRACTION,
        "liquidation_distance": (Decimal("0.01"), Decimal(10)),
        "unwind_time": (timedelta(0), timedelta(days=7)),
        "unwind_slippage": _FRACTION,
        "weight_value": _SHARE,
        "weight_persistence": _SHARE,
        "weight_trend": _SHARE,
        "weight_reversion": _SHARE,
        "weight_safety": _SHARE,
        "spot_taker_fee": _FRACTION,
        "perp_taker_fee": _FRACTION,
        "basis_limit": _FRACTION,
    },
    ExecutionPolicy: {
        "bands": _FRACTION,
        "unwind_bands": _FRACTION,
        "warn_after_seconds": _HEDGE_SECONDS,
        "escalate_after_seconds": _HEDGE_SECONDS,
        "unwind_after_seconds": _HEDGE_SECONDS,
        "flat_after_seconds": _HEDGE_SECONDS,
        "spot_maker_fee": _MAKER_FEE,
        "perp_maker_fee": _MAKER_FEE,
        "maker_seconds": (Decimal(0), Decimal(60)),
        "maker_chance": (Decimal(0), Decimal(1)),
        "maker_adverse": _FRACTION,
        "clip_share": (Decimal("0.01"), Decimal(10)),
        "clip_drift": _FRACTION,
        "clips_max": (1, 100),
        "spread_limit": _FRACTION,
        "margin_trim": (Decimal("0.05"), Decimal(1)),
        "margin_line": (Decimal("0.1"), Decimal(1)),
    },
    RiskLimits: {
        "pair_notional": _USDT,
        "gross_notional": _USDT,
        "orders_per_hour": (1, 100_000),
        "plans_per_hour": (1, 10_000),
        "round_trips_per_hour": (1, 1_000),
        "fees_per_hour": _USDT,
        "daily_loss": _USDT,
        "rejects_per_minute": (1, 1_000),
        "unknown_max": (timedelta(minutes=1), timedelta(hours=20)),
        "collar": _FRACTION,
        "before_settlement": _WINDOW,
        "after_settlement": _WINDOW,
        "adl_rank_max": (0, 5),
    },
}
"""The least and the greatest value of every field, both allowed; of every item for a tuple."""


@dataclass(frozen=True, slots=True)
class PolicySet:
    """What decides (``carry``), what executes, and what may never be exceeded."""

    carry: CarryPolicy = field(default_factory=CarryPolicy)
    execution: ExecutionPolicy = field(default_factory=ExecutionPolicy)
    limits: RiskLimits = field(default_factory=RiskLimits)

    @property
    def hash(self) -> str:
        """The hash of ``carry``: the part that a decision depends on."""
        return policy_hash(self.carry)


def load_policy(
    path: Path | None = None, limits: Mapping[str, Decimal | int] | None = None
) -> PolicySet:
    """Return the policy of ``path`` (None: the defaults), with ``limits`` put over its [limits].

    Raises:
        Misconfigured: one sentence that names the file and the key.
    """
    where = "The policy" if path is None else f"The policy file {path}"
    tables = {} if path is None else _read(path)
    unknown_key(tables, ("carry", "execution", "limits"), where)
    given = {**tables.get("limits", {}), **(limits or {})}
    loaded = PolicySet(
        _filled(CarryPolicy, tables.get("carry", {}), f"{where}, [carry]"),
        _filled(ExecutionPolicy, tables.get("execution", {}), f"{where}, [execution]"),
        _filled(RiskLimits, given, f"{where}, [limits]"),
    )
    _require_consistent(loaded, where)
    return loaded


def policy_hash(policy: CarryPolicy | ExecutionPolicy | RiskLimits) -> str:
    """Return 16 hex digits of the SHA-256 of the canonical JSON: equal values, equal hash."""
    canonical = {
        name: _plain(getattr(policy, name)) for name in sorted(get_type_hints(type(policy)))
    }
    body = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()[:HASH_DIGITS]


def unknown_key(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise Misconfigured naming the first key that is not known, and the nearest that is."""
    names = sorted(known)
    for key in sorted(given):
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}."
            raise Misconfigured(f"{where}: {key} is not known; {hint}")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise Misconfigured(
            f"The policy file {path} cannot be read ({error.strerror or error})."
        ) from error
    except ValueError as error:
        raise Misconfigured(f"The policy file {path} is not valid TOML: {error}.") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Misconfigured(f"The policy file {path}: {name} stands outside of any [table].")
    return tables


def _filled(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    hints = get_type_hints(kind)
    keys = {key: name for name, hint in hints.items() for key in _keys(name, hint)}
    unknown_key(table, keys, where)
    values: dict[str, Any] = {}
    for key, raw in table.items():
        name = keys[key]
        if name in values:
            raise Misconfigured(f"{where}: {name} is given twice, in different units.")
        values[name] = _value(hints[name], key, raw, where)
        _require_within(BOUNDS[kind][name], values[name], f"{where}: {key} = {_shown(raw)}")
    return kind(**values)


def _keys(name: str, hint: Any) -> list[str]:
    return [f"{name}_{unit}" for unit in DURATIONS] if hint is timedelta else [name]


def _value(hint: Any, key: str, raw: Any, where: str) -> Any:
    if hint is timedelta:
        seconds = _decimal(key, raw, where) * DURATIONS[key.rpartition("_")[2]]
        return timedelta(microseconds=int(seconds * 1_000_000))
    if hint is int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise Misconfigured(f"{where}: {key} = {_shown(raw)} is not a whole number.")
        return raw
    if hint is Decimal:
        return _decimal(key, raw, where)
    words = hint == tuple[str, ...]
    if not isinstance(raw, list) or not raw or (words and not all(type(w) is str for w in raw)):
        kind = "words" if words else "numbers"
        raise Misconfigured(f"{where}: {key} = {_shown(raw)} is not a list of {kind}.")
    return tuple(raw) if words else tuple(_decimal(key, item, where) for item in raw)


def _decimal(key: str, raw: Any, where: str) -> Decimal:
    if isinstance(raw, str | int | Decimal) and not isinstance(raw, bool):
        try:
            value = Decimal(raw)
        except ArithmeticError:
            value = Decimal("NaN")
        if value.is_finite():
            return value
    raise Misconfigured(f"{where}: {key} = {_shown(raw)} is not a number.")


def _require_within(bounds: tuple[Value, Value], value: Any, where: str) -> None:
    least: Any
    most: Any
    least, most = bounds
    for item in value if isinstance(value, tuple) else (value,):
        if not least <= item <= most:
            raise Misconfigured(f"{where} is out of range; it must lie in {least} to {most}.")


def _require_consistent(loaded: PolicySet, where: str) -> None:
    for name, group in (("carry", loaded.carry), ("limits", loaded.limits)):
        if group.gross_notional < group.pair_notional:
            raise Misconfigured(
                f"{where}, [{name}]: gross_notional {group.gross_notional} is less than "
                f"pair_notional {group.pair_notional}."
            )
    _require_consistent_carry(loaded.carry, where)
    for name in ("bands", "unwind_bands"):
        bands = getattr(loaded.execution, name)
        if list(bands) != sorted(bands):
            raise Misconfigured(
                f"{where}, [execution]: {name} must not get narrower from try to try."
            )
    ladder = [f"{rung}_after_seconds" for rung in ("warn", "escalate", "unwind", "flat")]
    deadlines = [getattr(loaded.execution, name) for name in ladder]
    if deadlines != sorted(deadlines):
        raise Misconfigured(f"{where}, [execution]: {', '.join(ladder)} must come in this order.")
    if loaded.execution.margin_trim >= loaded.execution.margin_line:
        raise Misconfigured(
            f"{where}, [execution]: margin_trim {loaded.execution.margin_trim} must be below "
            f"margin_line {loaded.execution.margin_line}."
        )


def _require_consistent_carry(carry: CarryPolicy, where: str) -> None:
    weights = sum(carry.weights.values())
    if weights != 1:
        raise Misconfigured(f"{where}, [carry]: the weights sum to {weights}; they must sum to 1.")
    named = [base for group in carry.clusters for base in group.split()]
    twice = sorted({base for base in named if named.count(base) > 1})
    if twice:
        raise Misconfigured(f"{where}, [carry]: clusters names {twice[0]} more than once.")


def _shown(raw: Any) -> str:
    return str(raw) if isinstance(raw, Decimal | int) else repr(raw)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)}us"
    if isinstance(value, Decimal):
        # 0.10 and 0.1 are one policy.
        return f"{value.normalize():f}"
    return value
