"""What each pair owns: one row per pair, moved only with the fills that move it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

from shared.domain.position import PairPosition, PairState

ENSURE_POSITIONS: Final = """
    INSERT INTO execution.position (pair, base, state, target_quantity, spot_quantity,
                                    perp_quantity, spot_value, perp_value, correlation_id,
                                    updated_at)
    SELECT pair, base, 'Closed', 0, 0, 0, 0, 0, '', $3
    FROM unnest($1::text[], $2::text[]) AS wanted(pair, base)
    ON CONFLICT (pair) DO NOTHING"""
READ_POSITIONS: Final = """
    SELECT pair, state, target_quantity, spot_quantity, perp_quantity, spot_value, perp_value,
           correlation_id
    FROM execution.position ORDER BY pair"""
SET_STATE: Final = """
    UPDATE execution.position SET state = $2, target_quantity = $3, correlation_id = $4,
           opened_at = CASE WHEN $2 = 'Closed' THEN NULL
                            WHEN $2 = 'Opening' AND perp_quantity = 0 THEN $5
                            ELSE opened_at END,
           updated_at = $6
    WHERE pair = $1"""
END_STATE: Final = """
    UPDATE execution.position SET state = $2, updated_at = $3,
           opened_at = CASE WHEN $2 = 'Closed' THEN NULL ELSE opened_at END
    WHERE pair = $1"""

MOVE_POSITION: Final = """
    UPDATE execution.position SET spot_quantity = spot_quantity + $2,
           perp_quantity = perp_quantity + $3, spot_value = spot_value + $4,
           perp_value = perp_value + $5, updated_at = $6
    WHERE pair = $1"""
# What moved each pair: its own fills with their fees in coin, the venue's own doing to its
# perpetual, and adoptions. A stranger's fills move nothing.
REBUILD_POSITIONS: Final = """
    WITH signed AS (
        SELECT f.pair, f.category, CASE f.side WHEN 'Buy' THEN 1 ELSE -1 END AS sign, f.quantity,
               f.value, CASE WHEN f.category = 'spot' AND f.fee_currency = p.base
                             THEN f.fee ELSE 0 END AS fee
        FROM execution.fill f JOIN execution.position p ON p.pair = f.pair
        WHERE f.exec_type <> 'Funding' AND f.correlation_id <> 'foreign'
        UNION ALL
        SELECT r.pair, r.category, CASE r.side WHEN 'Buy' THEN 1 ELSE -1 END, r.quantity,
               r.quantity * r.price, 0
        FROM ledger.log_row r WHERE r.kind = 'ADOPT')
    SELECT p.pair, p.spot_quantity, p.perp_quantity, p.spot_value, p.perp_value,
           coalesce(sum(sign * s.quantity - fee) FILTER (WHERE category = 'spot'), 0) AS spot,
           coalesce(sum(sign * s.quantity) FILTER (WHERE category = 'linear'), 0) AS perp,
           coalesce(sum(-sign * s.value) FILTER (WHERE category = 'spot'), 0) AS spot_cash,
           coalesce(sum(-sign * s.value) FILTER (WHERE category = 'linear'), 0) AS perp_cash
    FROM execution.position p LEFT JOIN signed s ON s.pair = p.pair
    GROUP BY p.pair ORDER BY p.pair"""


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One pair as stored."""

    pair: str
    state: PairState
    target_quantity: Decimal
    position: PairPosition
    correlation_id: str


async def ensure_positions(
    connection: Connection, pairs: Sequence[tuple[str, str]], now: datetime
) -> None:
    """Make sure that each (pair, base) has a row; a new one is closed and owns nothing."""
    await connection.execute(ENSURE_POSITIONS, [p for p, _ in pairs], [b for _, b in pairs], now)


async def read_positions(connection: Connection) -> list[PositionRow]:
    """Return every pair's position."""
    return [
        PositionRow(
            row["pair"],
            PairState(row["state"]),
            row["target_quantity"],
            PairPosition(
                row["spot_quantity"], row["perp_quantity"], row["spot_value"], row["perp_value"]
            ),
            row["correlation_id"],
        )
        for row in await connection.fetch(READ_POSITIONS)
    ]


async def start_position(
    connection: Connection,
    *,
    pair: str,
    state: PairState,
    target_quantity: Decimal,
    correlation_id: str,
    venue_at: datetime,
    now: datetime,
) -> None:
    """Say that a plan moves the pair; ``venue_at`` becomes the opening instant of a flat one."""
    values = (pair, state.value, target_quantity, correlation_id, venue_at, now)
    await connection.execute(SET_STATE, *values)


async def end_position(connection: Connection, pair: str, state: PairState, now: datetime) -> None:
    """Say in which state a plan left the pair."""
    await connection.execute(END_STATE, pair, state.value, now)


async def move_position(
    connection: Connection, pair: str, moved: PairPosition, now: datetime
) -> None:
    """Add what a repair gives to (or takes from) what the pair owns."""
    values = (moved.spot_quantity, moved.perp_quantity, moved.spot_value, moved.perp_value)
    await connection.execute(MOVE_POSITION, pair, *values, now)


async def read_rebuilt(connection: Connection) -> list[tuple[str, PairPosition, PairPosition]]:
    """Return each pair's position as stored and as its fills and adoptions make it anew."""
    return [
        (
            row["pair"],
            PairPosition(
                row["spot_quantity"], row["perp_quantity"], row["spot_value"], row["perp_value"]
            ),
            PairPosition(row["spot"], row["perp"], row["spot_cash"], row["perp_cash"]),
        )
        for row in await connection.fetch(REBUILD_POSITIONS)
    ]
