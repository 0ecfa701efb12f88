"""Reads what the command line is given, each wrong value in one sentence."""

import errno
import tempfile
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from shared.domain.errors import Misconfigured

Claimed = Annotated[
    str | None, typer.Option("--claimed", hidden=True, help="The queued run that this is.")
]
"""Given by ``carry backtest serve`` alone: the run's row is the worker's, which reads progress."""


def names_option(text: str | None) -> tuple[str, ...]:
    """Return the comma-separated names, none for None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def symbols_option(text: str | None) -> tuple[str, ...]:
    """Return the symbols in capitals, none for None; raises Misconfigured where none is named."""
    names = tuple(name.upper() for name in names_option(text))
    if text is not None and not names:
        raise Misconfigured("--symbols names nothing: write BTCUSDT,SOLUSDT.")
    return names


def page_option(path: Path) -> Path:
    """Return where a page goes, having made its folder and seen that a file can be kept there.

    Raises: Misconfigured, before the work and not after it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be written ({error.strerror}): name another place with --report, or "
            "say --no-report."
        ) from error
    return path


def amount_option(option: str, text: str, *, or_zero: bool = False) -> Decimal:
    """Return an amount above zero, or zero where that is allowed; raises Misconfigured."""
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Misconfigured(f"{option} {text} is no amount: write 100000.") from error
    if not amount.is_finite() or amount < 0 or (amount == 0 and not or_zero):
        least = "zero or more" if or_zero else "above zero"
        raise Misconfigured(f"{option} {text} is not {least}.")
    return amount


def number_option(option: str, text: object) -> Decimal:
    """Return what an option holds; raises Misconfigured when it is no number."""
    try:
        number = Decimal(str(text).strip())
    except InvalidOperation as error:
        raise Misconfigured(f"{option} {text} is no number: write 3,6,12.") from error
    if not number.is_finite():
        raise Misconfigured(f"{option} {text} is no number: write 3,6,12.")
    return number


def whole_option(option: str, text: object, of: str) -> int:
    """Return a whole number of ``of``; raises Misconfigured."""
    number = number_option(option, text)
    if number != number.to_integral_value():
        raise Misconfigured(f"{option} {text} is no whole number of {of}.")
    return int(number)


def hour_option(option: str, text: str) -> datetime:
    """Return a full hour, UTC; raises Misconfigured."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"{option} {text} is no instant: write 2023-11-11T00:00.") from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if at.minute or at.second or at.microsecond:
        raise Misconfigured(f"{option} {text} is not on a full hour.")
    return at
