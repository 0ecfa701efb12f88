"""What one simulator is told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """``speed`` is venue seconds per wall second, but in ``live`` the source's own.

    Prices come from ``live`` (base address of a venue), ``synthetic`` (so many symbols made of
    ``seed``, each moving ``moves_per_second`` of wall time), or ``history`` (None: the sample).
    ``key`` and ``more_keys`` are names and secrets of the account's keys.
    ``symbols`` None means all there are, ``start`` None the first instant that all of them have.
    ``faults`` is a script as docs/simulator.md describes it. An order is matched ``accept_ms`` of
    wall time after it was accepted.

    ``deposits`` open the account when ``database`` is new; an existing file goes on where it
    ended, and None keeps nothing. ``admin_token`` admits callers of /sim/* that are not on this
    machine; without one there are none.
    """

    database: Path | None
    start: datetime | None
    key: tuple[str, str] = field(repr=False)
    more_keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    speed: Decimal = Decimal(3600)
    host: str = "127.0.0.1"
    port: int = 8100
    history: Path | None = None
    live: str | None = None
    synthetic: int | None = None
    seed: int = 0
    moves_per_second: int = 1
    accept_ms: int = 0
    faults: Path | None = None
    symbols: tuple[str, ...] | None = None
    deposits: Mapping[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(100_000)})
    autostart: bool = False
    admin_token: str | None = field(default=None, repr=False)
