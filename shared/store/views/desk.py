"""What is held and what it came to: the rows under the overview and the list of pairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

from shared.domain.profit import Life
from shared.store.books import read_newest_lives
from shared.store.ledger import BALANCES
from shared.store.views.latest import (
    AlarmRow,
    FundingRow,
    PlanEnd,
    read_alarms,
    read_funding,
    read_plans,
)
from shared.store.views.status import MarketClock, read_market_clock

READ_HOLDINGS: Final = """
    SELECT p.pair, p.base, p.state, p.spot_quantity, p.perp_quantity, p.correlation_id,
           coalesce(p.opened_at,
                    (SELECT max(l.decided_at) FROM execution.plan l WHERE l.pair = p.pair),
                    p.updated_at) AS opened_at,
           coalesce(greatest(si.step, li.step), 0) AS lot,
           (s.bid + s.ask) / 2 AS mid, l.mark, l.predicted_rate, l.next_funding_at,
           coalesce(l.funding_interval_hours, f.interval_hours) AS interval_hours,
           f.rate AS last_rate, a.appraisal ->> 'expected_rate' AS expected_rate
    FROM execution.position p
    LEFT JOIN market.symbol_identity i ON i.pair = p.pair
    LEFT JOIN market.instrument si
           ON si.category = 'spot' AND si.symbol = coalesce(i.spot_symbol, p.pair)
    LEFT JOIN market.instrument li ON li.category = 'linear' AND li.symbol = p.pair
    LEFT JOIN market.quote_latest s
           ON s.category = 'spot' AND s.symbol = coalesce(i.spot_symbol, p.pair)
    LEFT JOIN market.quote_latest l ON l.category = 'linear' AND l.symbol = p.pair
    LEFT JOIN LATERAL (SELECT rate, interval_hours FROM market.funding_settlement
                       WHERE symbol = p.pair ORDER BY settled_at DESC LIMIT 1) f ON true
    LEFT JOIN (SELECT appraisal
               FROM (SELECT verdicts FROM strategy.decision
                     ORDER BY decided_at DESC LIMIT 1) newest,
                    jsonb_array_elements(newest.verdicts -> 'appraisals') AS appraisal) a
           ON a.appraisal ->> 'pair' = p.pair
    ORDER BY p.pair"""
READ_WORTH: Final = """
    SELECT e.venue_at, e.equity, e.net, e.funding, e.fees, e.basis, e.growth,
           (SELECT b.net FROM ledger.equity b
            WHERE b.venue_at <= e.venue_at - interval '24 hours'
            ORDER BY b.venue_at DESC LIMIT 1) AS net_day_before
    FROM ledger.equity e ORDER BY e.venue_at DESC LIMIT 1"""
READ_BALANCES: Final = f"{BALANCES} ORDER BY v.asset"
READ_CONDUCT: Final = """
    SELECT (SELECT coalesce(max(unhedged_seconds), 0) FROM execution.plan) AS unhedged_seconds_max,
           (SELECT count(*) FROM strategy.late_instant
            WHERE venue_at > (SELECT max(decided_at) FROM strategy.decision)
                             - interval '24 hours') AS late_instants,
           (SELECT coalesce(max(level), 0) FROM execution.kill
            WHERE lifted_at IS NULL) AS kill_level,
           (SELECT reason FROM execution.kill WHERE lifted_at IS NULL
            ORDER BY level DESC, id DESC LIMIT 1) AS kill_reason"""
READ_DOUBTED: Final = """
    SELECT p.pair FROM execution.attempt a JOIN execution.plan p ON p.id = a.plan_id
    WHERE a.state = 'unknown' ORDER BY p.pair"""


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """One pair's position with the newest that is known of its market; None is not known.

    Quantities in base units, the perpetual's signed; ``lot`` is the coarser step of both legs.
    ``predicted_rate`` is the venue's running estimate, ``expected_rate`` the last decision's.
    """

    pair: str
    base: str
    state: str
    spot_quantity: Decimal
    perp_quantity: Decimal
    correlation_id: str
    opened_at: datetime
    lot: Decimal
    mid: Decimal | None
    mark: Decimal | None
    predicted_rate: Decimal | None
    next_funding_at: datetime | None
    interval_hours: Decimal | None
    last_rate: Decimal | None
    expected_rate: Decimal | None


@dataclass(frozen=True, slots=True)
class WorthRow:
    """The account at its newest valued instant. USDT; ``fees`` positive are paid.

    ``growth``: what one unit of capital is worth since the start, by time, deposits excluded.
    ``net_day_before`` is None while the books are younger than 24 venue hours.
    """

    venue_at: datetime
    equity: Decimal
    net: Decimal
    funding: Decimal
    fees: Decimal
    basis: Decimal
    growth: Decimal
    net_day_before: Decimal | None


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One coin's balance by our entries, and by the venue after the row booked last."""

    asset: str
    ours: Decimal
    venue: Decimal


@dataclass(frozen=True, slots=True)
class ConductRow:
    """What should be zero or small; ``kill_level`` zero means that no stop stands."""

    unhedged_seconds_max: Decimal
    late_instants: int
    kill_level: int
    kill_reason: str | None


@dataclass(frozen=True)
class DeskRows:
    """One consistent reading; ``lives`` holds each pair's newest life, open or closed.

    ``doubted`` names the pair of every order in doubt, once an order.
    """

    market: MarketClock
    holdings: tuple[HoldingRow, ...]
    lives: Mapping[str, Life]
    worth: WorthRow | None
    balances: tuple[BalanceRow, ...]
    conduct: ConductRow
    doubted: tuple[str, ...]
    plans: tuple[PlanEnd, ...]
    funding: tuple[FundingRow, ...]
    alarms: tuple[AlarmRow, ...]


async def read_desk(connection: Connection) -> DeskRows:
    """Return everything the overview and the list of pairs need, as of one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        worth = await connection.fetchrow(READ_WORTH)
        return DeskRows(
            market=await read_market_clock(connection),
            holdings=tuple(map(_holding, await connection.fetch(READ_HOLDINGS))),
            lives=await read_newest_lives(connection),
            worth=None if worth is None else WorthRow(**dict(worth)),
            balances=tuple(BalanceRow(**dict(r)) for r in await connection.fetch(READ_BALANCES)),
            conduct=ConductRow(**dict(await connection.fetchrow(READ_CONDUCT))),
            doubted=tuple(r["pair"] for r in await connection.fetch(READ_DOUBTED)),
            plans=await read_plans(connection),
            funding=await read_funding(connection),
            alarms=await read_alarms(connection),
        )


def _holding(row: Mapping[str, object]) -> HoldingRow:
    values = dict(row)
    expected = values.pop("expected_rate")
    rate = None if expected is None else Decimal(str(expected))
    return HoldingRow(**values, expected_rate=rate)  # type: ignore[arg-type]
