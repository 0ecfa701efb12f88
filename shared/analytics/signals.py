"""All signals of one symbol, as floats and as the Decimals that may enter the core.

``signal_rows`` gives them at every settlement of a history, each made of what was known then;
``signals_of`` gives the newest alone. None says that a number is missing: no trade, not a default.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

import numpy as np

from shared.analytics.basis import BasisStanding, basis_standing
from shared.analytics.forecast import HORIZONS, Forecasts, forecasts
from shared.analytics.grid import FundingHistory, Grid, on_grid
from shared.analytics.holds import Holds, holds
from shared.analytics.indicators import ema, rolling_std, zscore
from shared.analytics.loss import hold_distribution
from shared.analytics.persistence import positive_after_positive, run_lengths
from shared.analytics.quantise import quantised_all, quantised_or_none
from shared.analytics.regime import Regime, regime_of, rolling_percentile
from shared.analytics.series import Floats
from shared.analytics.trend import Trends, rolling_trend

EMA_SPAN: Final = 21
TREND_WINDOW: Final = 21
WINDOW: Final = 90  # settlements of deviation, z-score, regime and persistence
BASIS_WINDOW: Final = 168  # basis levels; a week of hours
WORST: Final = 0.001  # one settlement in a thousand pays less than the worst rate
EVENLY: Final = np.linspace(0.0, 1.0, 101)  # chances of the quantiles of a hold's outcome
NO_FRACTIONS: Final = ("as_of_ms", "interval_hours", "run", "regime", "forecasts", "hold")
SETTLEMENTS_WANTED: Final = 1080  # a year of eight hours: all signals known, and steady


@dataclass(frozen=True, slots=True)
class ForecastSignal:
    """The mean rate of the next ``horizon`` settlements; without skill it is shown, not sized."""

    horizon: int
    mean: float | None
    low: float | None
    high: float | None
    skill: float | None
    p_value: float | None
    has_skill: bool


@dataclass(frozen=True, slots=True)
class HoldSignal:
    """What the short perpetual and its spot earn over ``settlements`` before costs.

    ``mean`` and ``error`` (a standard deviation) are per settlement, to compare with rates.
    ``outcomes`` are 101 evenly spaced quantiles of the whole, ascending, fractions of notional:
    funding, and what the basis falls. ``independent`` is how many holds without overlap they stand
    for.
    """

    settlements: int
    mean: float
    error: float
    outcomes: tuple[float, ...]
    independent: float


@dataclass(frozen=True, slots=True)
class SignalValues:
    """Signals as of one settlement. Rates are fractions of notional per ``interval_hours``.

    ``slope`` is per settlement, ``slope_p`` two-sided; ``percentile`` is 0 to 100. Of the last 90
    settlements, ``positive_next`` is P(positive next | positive now), ``run`` the newest run,
    negative when not positive. ``basis`` stands among the last 168 levels known.
    """

    as_of_ms: int
    interval_hours: int
    last_rate: float
    average: float | None
    deviation: float | None
    z_score: float | None
    slope: float | None
    slope_p: float | None
    percentile: float | None
    regime: Regime | None
    positive_next: float | None
    run: int
    worst_rate: float | None
    basis: float | None
    basis_percentile: float | None
    basis_z: float | None
    forecasts: tuple[ForecastSignal, ...]
    hold: HoldSignal | None

    @property
    def has_skill(self) -> bool:
        """Whether the forecast that looks furthest ahead may be used for sizing."""
        return bool(self.forecasts) and self.forecasts[-1].has_skill


def signals_of(
    history: FundingHistory, hold_hours: int, horizons: Sequence[int] = HORIZONS
) -> SignalValues | None:
    """Return the signals as of the newest settlement; None without any settlement.

    ``hold_hours`` is how long a position is held. Fewer than SETTLEMENTS_WANTED are answered with
    what they allow, the rest None.
    """
    if len(history.at_ms) == 0:
        return None
    columns = _Columns(on_grid(history, int(history.hours[-1])), hold_hours, horizons)
    return _row(history, columns, len(history.at_ms) - 1)


def signal_rows(
    history: FundingHistory, hold_hours: int, horizons: Sequence[int] = HORIZONS
) -> list[SignalValues | None]:
    """Return the signals as of every settlement, oldest first: each as ``signals_of`` gave then.

    To the last digits: averages begin at the first settlement either way, sums of windows may
    differ by rounding below the 1e-12 of the core.
    """
    known = {
        int(hours): _Columns(on_grid(history, int(hours)), hold_hours, horizons)
        for hours in np.unique(history.hours)
    }
    return [_row(history, known[int(h)], at) for at, h in enumerate(history.hours)]


def decimals(values: SignalValues) -> dict[str, Decimal | None]:
    """Return all fractions of ``values`` to 1e-12, by name: the door into the core.

    Forecasts are ``mean_3``, ``low_3`` and so on, a hold's are ``hold_mean`` and ``hold_error``.
    """
    named: dict[str, float | None] = {}
    for field in fields(values):
        value = getattr(values, field.name)
        if field.name not in NO_FRACTIONS:
            named[field.name] = value
    for each in values.forecasts:
        for name in ("mean", "low", "high", "skill", "p_value"):
            named[f"{name}_{each.horizon}"] = getattr(each, name)
    if values.hold is not None:
        named |= {"hold_mean": values.hold.mean, "hold_error": values.hold.error}
    return {name: quantised_or_none(value) for name, value in named.items()}


def hold_outcomes(values: SignalValues) -> tuple[Decimal, ...] | None:
    """Return the hold's quantiles to 1e-12, ascending; None when they are not known."""
    return None if values.hold is None else quantised_all(values.hold.outcomes)


class _Columns:
    """Each signal along one grid, (n,)."""

    def __init__(self, grid: Grid, hold_hours: int, horizons: Sequence[int]) -> None:
        rates = grid.rates
        self.grid = grid
        self.average = ema(rates, EMA_SPAN)
        self.deviation = rolling_std(rates, WINDOW)
        self.z_score = zscore(rates, WINDOW)
        self.trends: Trends = rolling_trend(rates, TREND_WINDOW)
        self.percentile = rolling_percentile(rates, WINDOW)
        self.forecasts: list[Forecasts] = [forecasts(rates, horizon) for horizon in horizons]
        self.first = int(np.sum(~np.isfinite(grid.basis)))  # holds begin where spot does
        hold = max(hold_hours // grid.interval_hours, 1)
        self.holds: Holds = holds(rates[self.first :], grid.basis[self.first :], hold)


def _row(history: FundingHistory, columns: _Columns, index: int) -> SignalValues | None:
    """Return the row of settlement ``index``; None where its grid has no whole interval yet."""
    now = int(history.at_ms[index])
    at = int(np.searchsorted(columns.grid.at_ms, now, "right")) - 1
    if at < 0:
        return None
    recent = columns.grid.rates[max(at + 1 - WINDOW, 0) : at + 1]
    percentile = _known(columns.percentile[at])
    basis = _basis(history, now)
    return SignalValues(
        as_of_ms=now,
        interval_hours=columns.grid.interval_hours,
        last_rate=float(columns.grid.rates[at]),
        average=_known(columns.average[at]),
        deviation=_known(columns.deviation[at]),
        z_score=_known(columns.z_score[at]),
        slope=_known(columns.trends.slope[at]),
        slope_p=_known(columns.trends.p_value[at]),
        percentile=percentile,
        regime=None if percentile is None else regime_of(percentile),
        positive_next=positive_after_positive(recent),
        run=int(run_lengths(recent > 0.0)[-1]),
        worst_rate=_worst(columns.grid.rates[: at + 1]),
        basis=None if basis is None else basis.level,
        basis_percentile=None if basis is None else basis.percentile,
        basis_z=None if basis is None else basis.z,
        forecasts=tuple(_forecast(each, at) for each in columns.forecasts),
        hold=_hold(columns.holds, at - columns.first),
    )


def _forecast(made: Forecasts, at: int) -> ForecastSignal:
    return ForecastSignal(
        horizon=made.horizon,
        mean=_known(made.mean[at]),
        low=_known(made.low[at]),
        high=_known(made.high[at]),
        skill=_known(made.skills.skill[at]),
        p_value=_known(made.skills.p_value[at]),
        has_skill=bool(made.skills.has_skill[at]),
    )


def _hold(begun: Holds, at: int) -> HoldSignal | None:
    stated = hold_distribution(begun, at) if at >= 0 else None
    if stated is None:
        return None
    outcomes = stated.quantiles(EVENLY)
    mean, error = float(np.mean(outcomes)), float(np.std(outcomes))
    return HoldSignal(
        settlements=begun.hold,
        mean=mean / begun.hold,
        error=error / begun.hold,
        outcomes=tuple(float(outcome) for outcome in outcomes),
        independent=stated.independent,
    )


def _basis(history: FundingHistory, now: int) -> BasisStanding | None:
    seen = int(np.searchsorted(history.basis_ms, now, "right"))
    return basis_standing(history.basis[max(seen - BASIS_WINDOW, 0) : seen])


def _worst(rates: Floats) -> float | None:
    return float(np.quantile(rates, WORST)) if len(rates) >= WINDOW else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
