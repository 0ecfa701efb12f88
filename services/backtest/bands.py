"""``carry backtest bands``: what papers found on other data, and what recorded history says.

Plausibility, not proof: no data came with the papers. Floats: these are statistics for people.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from shared.domain.errors import Misconfigured

Floats = NDArray[np.float64]
Series = tuple[NDArray[np.int64], Floats]
"""Instants (UTC ms) and values, both (n,), oldest first."""

HOUR_MS: Final = 3_600_000
YEAR_MS: Final = 365 * 24 * HOUR_MS
SETTLES_EVERY: Final = 8  # hours, of the two coins
INTEREST: Final = 0.0001  # the interest component of one 8 h settlement
CUSTODY: Final = 0.0057
CARRY: Final = "Christin, Routledge, Soska, Zetlin-Jones: The Crypto Carry Trade"
FACTOR: Final = "Digital Asset Funding Rates as a Distinct Risk Factor (Mendeley 8wf3t29jbd)"
PERPETUALS: Final = "He, Manela, Ross, von Wachter: Fundamentals of Perpetual Futures (2212.06888)"


@dataclass(frozen=True, slots=True)
class Band:
    """One figure of a paper, from ``low`` to ``high``, beside ours; ``word`` says how they part."""

    paper: str
    figure: str
    unit: str
    low: float
    high: float
    ours: float
    word: str


def bands(
    data: Annotated[Path, typer.Option("--data", help="Folder with the full recorded history.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the figures of three papers beside those of recorded history."""
    found = all_bands(data)
    if as_json:
        typer.echo(json.dumps({"bands": [asdict(band) for band in found]}))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("figure", "paper", "ours", "in words"):
        table.add_column(name, overflow="fold")
    paper = ""
    for band in found:
        if band.paper != paper:
            paper = band.paper
            table.add_row(f"[bold]{paper}[/bold]")
        theirs = f"{band.low:g}" if band.low == band.high else f"{band.low:g} to {band.high:g}"
        table.add_row(
            band.figure, f"{theirs} {band.unit}", f"{band.ours:.2f} {band.unit}", band.word
        )
    Console(highlight=False).print(table)


def all_bands(folder: Path) -> list[Band]:
    """Return every band; raises Misconfigured when the folder lacks what it needs."""
    return [*carry_bands(folder), *factor_bands(folder), *perpetual_bands(folder)]


def carry_bands(folder: Path) -> list[Band]:
    """Return the carry of Binance BTCUSDT, 2020-08-11 to 2023-06-23, per 8 h step."""
    span = (_ms(2020, 8, 11), _ms(2023, 6, 23))
    rates = within(funding(folder, "binance", "BTCUSDT"), span)
    spot = prices(folder, "klines_spot.parquet", "binance", "BTCUSDT", "open")
    perp = prices(folder, "klines_perp.parquet", "binance", "BTCUSDT", "open")
    mean, deviation, sharpe = yearly(hedged_returns(rates, spot, perp), 365 * 3)
    excess = "before a risk-free rate, theirs after one; near 1.3 % of it explains the mean"
    return [
        _band(CARRY, "mean carry a year", "%", 14.26, 14.26, mean * 100, excess),
        _band(
            CARRY, "standard deviation a year", "%", 1.63, 1.63, deviation * 100,
            "theirs is not said to be of the same prices; ours are the opens of the hours at which "
            "funding settles. The data's own paper states 2.05 and a Sharpe of 7.63 for these "
            "files: no pairing of opens, closes and marks that was tried gives that",
        ),
        _band(CARRY, "Sharpe", "", 8.76, 8.76, sharpe, "no risk-free rate is taken off ours"),
    ]  # fmt: skip


def factor_bands(folder: Path) -> list[Band]:
    """Return the funding of Bitcoin and Ether, half each, after FTX; and before it."""
    found = []
    for exchange in ("binance", "bybit"):
        known = int(funding(folder, exchange, "BTCUSDT")[0][-1]) + SETTLES_EVERY * HOUR_MS
        after = (_ms(2022, 11, 11), min(_ms(2025, 9, 1), known))
        ended = datetime.fromtimestamp(after[1] // 1000 - 1, UTC)
        a_year = _halves(folder, exchange, after)
        found.append(
            _band(
                FACTOR, f"{exchange}, BTC and ETH, after FTX, less 57 bp of custody", "%",
                8.14, 8.14, 100 * (a_year - CUSTODY),
                f"theirs ends in August 2025, ours in {ended:%B %Y}",
            )
        )  # fmt: skip
        found.append(
            _band(
                FACTOR, f"{exchange}, volatility of a day's funding, a year", "%", 0.97, 0.97,
                100 * _volatility(folder, exchange, after),
                "theirs is not said to be of days: payments follow each other, so that longer "
                "spans show more",
            )
        )  # fmt: skip
    before = _halves(folder, "binance", (_ms(2020, 1, 1), _ms(2022, 11, 11)))
    found.append(
        _band(
            FACTOR, "binance, BTC and ETH, before FTX", "%", 13.64, 13.64, 100 * before,
            "theirs does not come out of these rates, whatever the start; a band, and not met",
        )
    )  # fmt: skip
    return found


def perpetual_bands(folder: Path) -> list[Band]:
    """Return how fast the basis goes back, and how often funding is interest alone."""
    found = []
    for symbol, hours in (("BTCUSDT", 1.68), ("ETHUSDT", 2.34)):
        for exchange in ("binance", "bybit"):
            spot = prices(folder, "klines_spot.parquet", exchange, symbol, "close")
            perp = prices(folder, "klines_perp.parquet", exchange, symbol, "close")
            found.append(
                _band(
                    PERPETUALS, f"{exchange} {symbol}, half-life of the basis", "h", hours, hours,
                    half_life(basis(spot, perp)),
                    "hourly closes of last trades, autocorrelation at one hour: slow waves of the "
                    "basis lengthen it, trade noise shortens it",
                )
            )  # fmt: skip
    for exchange in ("binance", "bybit"):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            share = float(np.mean(funding(folder, exchange, symbol)[1] == INTEREST))
            found.append(
                _band(
                    PERPETUALS, f"{exchange} {symbol}, settlements of exactly the interest", "%",
                    41.7, 50.4, 100 * share, "their years are not said; all of the record here",
                )
            )  # fmt: skip
    return found


def hedged_returns(rates: Series, spot: Series, perp: Series) -> Floats:
    """Return what one unit, long spot and short perpetual, earned from each settlement to the next.

    Funding received + return of spot - return of the perpetual, simple returns, prices at the
    settlements; a settlement without both prices is left out.
    """
    stamps = np.intersect1d(rates[0], np.intersect1d(spot[0], perp[0]))
    rate, s, p = (_at(series, stamps) for series in (rates, spot, perp))
    gains = rate[1:] + (s[1:] / s[:-1] - 1.0) - (p[1:] / p[:-1] - 1.0)
    return np.asarray(gains, dtype=np.float64)


def yearly(returns: Floats, steps: int) -> tuple[float, float, float]:
    """Return mean, sample standard deviation and their ratio, for a year of ``steps``."""
    mean = float(np.mean(returns)) * steps
    deviation = float(np.std(returns, ddof=1)) * float(np.sqrt(steps))
    return mean, deviation, mean / deviation


def basis(spot: Series, perp: Series) -> Series:
    """Return ln(perpetual / spot) at the instants that both have."""
    stamps = np.intersect1d(spot[0], perp[0])
    return stamps, np.log(_at(perp, stamps) / _at(spot, stamps))


def half_life(series: Series) -> float:
    """Return the hours after which half of a deviation is left: ln(1/2) / ln(phi).

    ``phi`` is the autocorrelation at one hour, over neighbours that are an hour apart.
    """
    at, values = series
    next_to = at[1:] - at[:-1] == HOUR_MS
    phi = float(np.corrcoef(values[:-1][next_to], values[1:][next_to])[0, 1])
    return float(np.log(0.5) / np.log(phi))


def within(series: Series, span: tuple[int, int]) -> Series:
    """Return what lies in [from, to]."""
    kept = (series[0] >= span[0]) & (series[0] <= span[1])
    return series[0][kept], series[1][kept]


def funding(folder: Path, exchange: str, symbol: str) -> Series:
    """Return settled rates."""
    return _series(folder / "funding.parquet", exchange, symbol, "funding_time", "rate")


def prices(folder: Path, name: str, exchange: str, symbol: str, column: str) -> Series:
    """Return hourly prices by the instant at which the hour opens."""
    return _series(folder / name, exchange, symbol, "open_time", column, hourly=True)


def _halves(folder: Path, exchange: str, span: tuple[int, int]) -> float:
    """Return the funding a year of half a unit of each coin; simple, no compounding."""
    total = 0.0
    for symbol in ("BTCUSDT", "ETHUSDT"):
        paid = within(funding(folder, exchange, symbol), span)[1]
        total += 0.5 * float(np.sum(paid)) * YEAR_MS / float(span[1] - span[0])
    return total


def _volatility(folder: Path, exchange: str, span: tuple[int, int]) -> float:
    """Return the deviation a year of what half a unit of each coin is paid in a day."""
    series = [within(funding(folder, exchange, s), span) for s in ("BTCUSDT", "ETHUSDT")]
    stamps = np.intersect1d(series[0][0], series[1][0])
    days, place = np.unique(stamps // (24 * HOUR_MS), return_inverse=True)
    paid = np.zeros(len(days))
    np.add.at(paid, place, sum(_at(one, stamps) for one in series) / 2)
    return float(np.std(paid, ddof=1) * np.sqrt(365))


def _band(
    paper: str, figure: str, unit: str, low: float, high: float, ours: float, why: str
) -> Band:
    """Return the band with its word: inside, or by how much outside and what is known of why."""
    away = max(low - ours, ours - high, 0.0)
    share = away / abs(high) if high else away
    if away == 0.0:
        word = "inside"
    elif share <= 0.02:
        word = f"within {100 * share:.1f} % of it"
    else:
        word = f"{'above' if ours > high else 'below'} by {away:.2f}: {why or 'not explained'}"
    return Band(paper, figure, unit, low, high, ours, word)


def _series(
    path: Path, exchange: str, symbol: str, time: str, value: str, *, hourly: bool = False
) -> Series:
    wanted: list[tuple[str, str, str]] = [("exchange", "==", exchange), ("symbol", "==", symbol)]
    if hourly:
        wanted.append(("interval", "==", "1h"))
    try:
        table = pq.read_table(path, columns=[time, value], filters=wanted)
    except FileNotFoundError as error:
        raise Misconfigured(
            f"{path} does not exist: name the folder of the full history with --data."
        ) from error
    except (pa.ArrowException, KeyError, OSError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error
    table = table.filter(pc.is_valid(table[value]))
    if table.num_rows < 2:
        raise Misconfigured(
            f"{path} holds no {value} of {exchange} {symbol}: name the folder of the full history."
        )
    at = np.asarray(table[time].to_numpy(), dtype=np.int64)
    values = np.asarray(table[value].to_numpy(), dtype=np.float64)
    _refuse(path, symbol, np.append(True, at[1:] > at[:-1]), at, "is out of order or there twice")
    sound = np.isfinite(values) & ((values > 0) | (value == "rate"))
    _refuse(path, symbol, sound, at, f"has a {value} that is no number or not above zero")
    return at, values


def _refuse(
    path: Path, symbol: str, sound: NDArray[np.bool_], at: NDArray[np.int64], problem: str
) -> None:
    """Raise Misconfigured with the first row that is not sound."""
    if not sound.all():
        first = datetime.fromtimestamp(int(at[np.argmin(sound)]) / 1000, UTC)
        raise Misconfigured(f"{path}: {symbol} {first:%Y-%m-%d %H:%M} UTC {problem}.")


def _at(series: Series, stamps: Iterable[int] | NDArray[np.int64]) -> Floats:
    places = np.searchsorted(series[0], np.asarray(stamps, dtype=np.int64))
    return np.asarray(series[1][places], dtype=np.float64)


def _ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000
