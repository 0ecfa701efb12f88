"""``carry backtest book``: a published trade list, booked again and compared figure by figure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.backtest.book.booking import ROUNDINGS, BookedTrade, Conventions, book_trade
from services.backtest.book.compare import Check, check_payments, check_trades, payments_by_leg
from services.backtest.book.curve import Instant, Performance, curve_of, performance
from services.backtest.book.files import read_inputs
from services.backtest.book.records import Leg, PublishedInputs, Selection
from services.backtest.book.settlements import Missed, missed_settlements
from services.backtest.book.tables import moment
from services.backtest.options import amount_option, hour_option, names_option
from shared.domain.errors import Malformed, Misconfigured
from shared.domain.money import ZERO, plain

CHOICES = {
    "fees": ("taken", "added"),
    "payment_price": ("open", "close"),
    "pnl": ("values", "cash"),
    "rounding": tuple(ROUNDINGS),
}
SUM_PLACES = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class Book:
    """A published run as it is booked here; amounts in quote units, funding positive received."""

    conventions: Conventions
    tolerance: Decimal
    booked: tuple[BookedTrade, ...]
    checks: tuple[Check, ...]
    missed: tuple[Missed, ...]
    opens_taken: dict[Leg, int]
    funding_by_leg: dict[str, Decimal]
    settlements_by_leg: dict[str, int]
    start_value: Decimal | None
    curve: tuple[Instant, ...]
    horizons: tuple[Performance, ...]

    @property
    def funding(self) -> Decimal:
        """All payments."""
        return sum(self.funding_by_leg.values(), ZERO)

    @property
    def closed(self) -> tuple[int, Decimal]:
        """How many trades are closed, and their pnl together."""
        done = [b.pnl for b in self.booked if b.trade.closed_ms is not None]
        return len(done), sum(done, ZERO)

    @property
    def differing(self) -> int:
        """How many figures differ by more than is allowed."""
        return sum(c.differing for c in self.checks)


def make_book(
    inputs: PublishedInputs,
    by: Conventions,
    *,
    tolerance: Decimal,
    start_value: Decimal | None = None,
    horizons: Sequence[int | None] = (None,),
    allow_gaps: bool = False,
    from_ms: int | None = None,
) -> Book:
    """Return the book of a published run.

    Raises: MalformedHistory where a bar is not there, and where a settlement is not, unless
    ``allow_gaps``: then what is missed pays nothing and is counted.
    """
    missed = missed_settlements(inputs, by, allow_gaps=allow_gaps)
    booked = tuple(book_trade(t, inputs.markets[t.leg], by) for t in inputs.trades)
    paid = payments_by_leg(booked)
    taken = {leg: m.opens_taken for leg, m in sorted(inputs.markets.items()) if m.opens_taken}
    checks = check_trades(booked, tolerance)
    if inputs.payments is not None:
        checks += check_payments(inputs.payments, paid, tolerance)
    sums: dict[str, Decimal] = {}
    counts: dict[str, int] = {}
    for (_, leg), amount in sorted(paid.items(), key=lambda item: item[0][::-1]):
        name = ":".join(leg)
        sums[name] = sums.get(name, ZERO) + amount
        counts[name] = counts.get(name, 0) + 1
    curve: list[Instant] = []
    measured: list[Performance] = []
    if start_value is not None:
        curve = curve_of(inputs, booked, start_value, from_ms)
        found = [performance(curve, months) for months in horizons]
        measured = [one for one in found if one is not None]
    return Book(
        by, tolerance, booked, tuple(checks), missed, taken, sums, counts, start_value,
        tuple(curve), tuple(measured),
    )  # fmt: skip


def book(
    trades: Annotated[Path, typer.Option(help="The trade list, Parquet or CSV.")],
    bars: Annotated[
        list[str],
        typer.Option(help="Bars with a column market, or FILE:MARKET; may be repeated."),
    ],
    funding: Annotated[
        list[Path] | None,
        typer.Option(help="A log of payments to compare, a table of rates to pay by, or both."),
    ] = None,
    start_value: Annotated[
        str | None, typer.Option(help="The account where it begins; without it no returns.")
    ] = None,
    horizons: Annotated[
        str, typer.Option(help="Months from its beginning to measure, beside all of it.")
    ] = "3,6,12,18",
    exchange: Annotated[str | None, typer.Option(help="These alone, comma-separated.")] = None,
    symbol: Annotated[str | None, typer.Option(help="These alone, comma-separated.")] = None,
    market: Annotated[str | None, typer.Option(help="These alone, comma-separated.")] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Where the account begins, ISO, UTC; at the first opening."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Leave out all that happens after this, ISO, UTC.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Which bars, where a file says of each.")] = "1h",
    fees: Annotated[str, typer.Option(help="taken out of the position, or added to it.")] = "taken",
    payment_price: Annotated[
        str, typer.Option(help="open of the bar that starts at the settlement, or close before it.")
    ] = "open",
    entry_paid: Annotated[
        bool, typer.Option(help="A position opened at a settlement is paid by it.")
    ] = False,
    exit_paid: Annotated[
        bool, typer.Option(help="A position closed at a settlement is paid by it.")
    ] = True,
    pnl: Annotated[
        str, typer.Option(help="values: difference of values after fees; cash: a fee always costs.")
    ] = "values",
    rounding: Annotated[
        str | None, typer.Option(help="double after each step, or none; by the file's numbers.")
    ] = None,
    tolerance: Annotated[str, typer.Option(help="What counts as equal, quote units.")] = "1e-10",
    allow_gaps: Annotated[
        bool,
        typer.Option("--allow-gaps", help="Take bars and rates with holes; count what is missed."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with code 1 where a figure differs.")
    ] = False,
) -> None:
    """Book a published trade list again and say where it and its publisher part."""
    chosen = Selection(*(frozenset(names_option(n)) for n in (exchange, symbol, market)))
    capital = None if start_value is None else amount_option("--start-value", start_value)
    first, last = _ms("--from", begin), _ms("--to", end)
    allowed = amount_option("--tolerance", tolerance, or_zero=True)
    try:
        inputs = read_inputs(
            trades, bars, funding or [], chosen, interval, last, allow_gaps=allow_gaps
        )
        rule = rounding or ("double" if inputs.is_binary else "none")
        by = Conventions(fees, payment_price, entry_paid, exit_paid, pnl, rule)
        _require_known(by)
        made = make_book(
            inputs,
            by,
            tolerance=allowed,
            start_value=capital,
            horizons=_months(horizons),
            allow_gaps=allow_gaps,
            from_ms=first,
        )
    except Malformed as error:
        raise Misconfigured(f"The published run cannot be booked: {error}") from error
    if as_json:
        typer.echo(json.dumps(as_plain(made)))
    else:
        _show(made)
    if strict and made.differing:
        raise typer.Exit(1)


def as_plain(made: Book) -> dict[str, Any]:
    """Return the book as JSON values: amounts as text, counts and returns as numbers."""
    count, pnl = made.closed
    return {
        "conventions": {n: getattr(made.conventions, n) for n in Conventions.__slots__},
        "tolerance": str(made.tolerance),
        "trades": len(made.booked),
        "closed": count,
        "closed_pnl": _sum(pnl),
        "funding": _sum(made.funding),
        "settlements": sum(made.settlements_by_leg.values()),
        "funding_by_leg": {
            leg: {"settlements": made.settlements_by_leg[leg], "funding": _sum(amount)}
            for leg, amount in made.funding_by_leg.items()
        },
        "missed_settlements": {
            ":".join(m.leg): {"count": m.count, "first": moment(m.first_ms)} for m in made.missed
        },
        "opens_from_previous_close": {":".join(leg): n for leg, n in made.opens_taken.items()},
        "differing": made.differing,
        "checks": [_check_plain(c) for c in made.checks],
        "start_value": None if made.start_value is None else plain(made.start_value),
        "horizons": [_horizon_plain(p) for p in made.horizons],
        "end": None
        if not made.curve
        else {
            "at": moment(made.curve[-1].at_ms),
            "marked": _sum(made.curve[-1].marked),
            "realised": _sum(made.curve[-1].realised),
        },
    }


def _check_plain(one: Check) -> dict[str, Any]:
    return {
        "figure": one.figure,
        "compared": one.compared,
        "differing": one.differing,
        **{
            name: None
            if found is None
            else {
                "place": found.place,
                "published": _digits(found.published),
                "ours": _digits(found.ours),
                "difference": _digits(found.size),
            }
            for name, found in (("first", one.first), ("largest", one.largest))
        },
    }


def _horizon_plain(one: Performance) -> dict[str, Any]:
    return {
        "months": one.months,
        "days": one.days,
        "initial": _sum(one.initial),
        "final": _sum(one.final),
        "annualised": one.annualised,
        "drawdown_max": one.drawdown,
        "drawdown_max_marked": one.drawdown_marked,
        "sharpe_without_risk_free_rate": one.sharpe,
    }


def _show(made: Book) -> None:
    output = Console(highlight=False)
    count, pnl = made.closed
    output.print(f"{len(made.booked)} trades, {count} closed", style="bold")
    output.print(f"Closed pnl {_sum(pnl)}, funding {_sum(made.funding)}")
    for leg, amount in made.funding_by_leg.items():
        output.print(f"  {leg}  {made.settlements_by_leg[leg]} settlements  {_sum(amount)}")
    for leg_of_bars, taken in made.opens_taken.items():
        output.print(f"  {':'.join(leg_of_bars)}  {taken} opens are the close of the bar before")
    for missed in made.missed:
        output.print(f"  {_missed_words(missed)}", style="yellow")
    table = Table(box=None, pad_edge=False)
    for name in ("figure", "compared", "differing", "first", "largest"):
        table.add_column(name, overflow="fold")
    for one in made.checks:
        table.add_row(
            one.figure,
            str(one.compared),
            str(one.differing),
            *map(_words, (one.first, one.largest)),
        )
    output.print(table)
    if made.start_value is None:
        output.print("No returns: give --start-value.", style="dim")
    for each in made.horizons:
        span = "all" if each.months is None else f"{each.months} months"
        sharpe = "–" if each.sharpe is None else f"{each.sharpe:.4f}"
        output.print(
            f"{span}, {each.days} days from {_sum(each.initial)} to {_sum(each.final)}: "
            f"{each.annualised * 100:.4f} % a year, drawdown {each.drawdown * 100:.4f} % realised "
            f"({each.drawdown_marked * 100:.4f} % marked), Sharpe {sharpe} without a risk-free rate"
        )
    output.print(f"Conventions: {_stated(made.conventions)}", style="dim")
    if made.conventions.pnl == "values":
        output.print(
            "A short's closing fee raises its pnl under this convention; --pnl cash charges it.",
            style="dim",
        )


def _missed_words(missed: Missed) -> str:
    leg, at = ":".join(missed.leg), moment(missed.first_ms)
    if missed.count is None:
        return f"{leg}  settlements not paid from {at} on: no schedule of rates"
    return f"{leg}  {missed.count} settlements missed and not paid, the first of {at}"


def _stated(by: Conventions) -> str:
    return ", ".join(f"{name} {getattr(by, name)}" for name in Conventions.__slots__)


def _words(found: Any) -> str:
    if found is None or found.size == ZERO:
        return ""
    return f"{_digits(found.size)} ({found.place})"


def _digits(value: Decimal) -> str:
    """Return at most 17 significant digits, which tell any double from its neighbours."""
    return plain(Decimal(repr(float(value))))


def _sum(value: Decimal) -> str:
    return plain(value.quantize(SUM_PLACES))


def _ms(option: str, text: str | None) -> int | None:
    return None if text is None else int(hour_option(option, text).timestamp()) * 1000


def _months(text: str) -> list[int | None]:
    found: list[int | None] = [None]
    for name in names_option(text):
        if not name.isdecimal() or not int(name):
            raise Misconfigured(f"--horizons {text} is no list of months: write 3,6,12.")
        found.append(int(name))
    return found


def _require_known(by: Conventions) -> None:
    for name, choices in CHOICES.items():
        value = getattr(by, name)
        if value not in choices:
            option = name.replace("_", "-")
            raise Misconfigured(f"--{option} {value} is unknown: choose {' or '.join(choices)}.")
