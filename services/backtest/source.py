"""What the exact engine runs on: a history, and the rules of what trades in it."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import typer

from services.backtest.commands_data import read_store
from services.backtest.options import symbols_option
from shared.domain.errors import Malformed, Misconfigured
from shared.history.files import read_history
from shared.history.records import History
from shared.history.rules import ProductRules, read_rules, sample_rules

RULES_FILE: Final = "instruments.toml"


@dataclass(frozen=True, slots=True)
class Source:
    """``rules`` has both legs of every symbol of ``history``, and perhaps others."""

    history: History
    rules: tuple[ProductRules, ...]

    def costs(self, symbol: str) -> Decimal:
        """Return what entering and leaving a pair costs as a taker, a fraction of its notional."""
        legs = [rule for rule in self.rules if rule.symbol == symbol]
        return 2 * sum((r.taker_fee + r.half_spread_bps / 10_000 for r in legs), Decimal(0))


def source(
    folder: Path | None, symbols: str | None, *, store: bool = False, allow_gaps: bool = False
) -> Source:
    """Return the history of a folder (None: the sample) or of the store, and its rules.

    Rules are those in the folder's ``instruments.toml``, else the sample's. ``symbols`` None means
    every one that has both; what has no rules is named and left out.

    With ``store`` a folder gives the rules alone.

    Raises: Misconfigured naming the file or the symbol.
    """
    stated = (folder or Path()) / RULES_FILE
    if store and folder and not stated.is_file():
        raise Misconfigured(
            f"--store takes the history from the database, and --data {folder} has no {RULES_FILE} "
            "to take rules from: leave one of them out."
        )
    wanted = symbols_option(symbols) or None
    try:
        rules = read_rules(stated) if folder and stated.is_file() else sample_rules()
        known = sorted(_symbols(rules, "linear") & _symbols(rules, "spot"))
        for symbol in wanted or ():
            if symbol not in known:
                raise Misconfigured(
                    f"--symbols {symbol} has no rules: choose from {', '.join(known)}, or state "
                    f"them in {stated} beside a history."
                )
        history = (
            read_store(wanted) if store else read_history(folder, wanted, allow_gaps=allow_gaps)
        )
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error
    left_out = ", ".join(sorted(set(history.symbols) - set(known)))
    if left_out:
        typer.echo(f"Left out, because {stated} states no rules of them: {left_out}", err=True)
    kept = {name: part for name, part in history.symbols.items() if name in known}
    if not kept:
        raise Misconfigured(f"No symbol has history and rules: state rules in {stated}.")
    return Source(History(kept), rules)


def _symbols(rules: tuple[ProductRules, ...], category: str) -> set[str]:
    return {rule.symbol for rule in rules if rule.category == category}
