"""What is at stake, read under the lock that every order which adds risk takes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

from shared.domain.risk import Stake

LOCK_GATE: Final = 'SELECT 1 FROM execution.gate WHERE "only" FOR UPDATE'

# Orders in flight or in doubt count as filled when they buy spot or sell the perpetual, and as not
# filled when they do the reverse. Throttles and the day's loss count from when a person last lifted
# what they pressed.
READ_STAKE: Final = """
    WITH price AS (SELECT * FROM unnest($1::text[], $2::numeric[]) AS t (pair, price)),
         armed AS (
            SELECT coalesce(max(lifted_at), '-infinity') AS at FROM execution.kill
            WHERE split_part(reason, ':', 1) = ANY($11::text[])),
         flying AS (
            SELECT p.pair,
                   sum((a.quantity - a.filled_quantity) * a.limit_price)
                       FILTER (WHERE a.category = 'spot' AND a.side = 'Buy') AS buys,
                   sum((a.quantity - a.filled_quantity) * a.limit_price)
                       FILTER (WHERE a.category = 'linear' AND a.side = 'Sell') AS sells
            FROM execution.attempt a JOIN execution.plan p ON p.id = a.plan_id
            WHERE a.state IN ('submitting', 'live', 'unknown', 'quarantined') GROUP BY p.pair),
         wanted AS (
            SELECT pair, max(target_quantity) AS target FROM execution.plan
            WHERE state = 'working' AND finished_at IS NULL AND pair <> $3 GROUP BY pair
            UNION ALL SELECT $3, $4::numeric),
         held AS (
            SELECT o.pair, c.price, greatest(o.spot_quantity, 0) AS spot,
                   abs(o.perp_quantity) AS perp, coalesce(w.target, 0) AS target,
                   coalesce(f.buys, 0) + CASE o.pair WHEN $3 THEN $5::numeric ELSE 0 END AS buys,
                   coalesce(f.sells, 0) + CASE o.pair WHEN $3 THEN $6::numeric ELSE 0 END AS sells
            FROM execution.position o LEFT JOIN price c USING (pair) LEFT JOIN flying f USING (pair)
                 LEFT JOIN wanted w USING (pair)),
         worst AS (
            SELECT pair, price IS NULL AND (spot, perp, target, buys, sells) <> (0, 0, 0, 0, 0)
                         AS is_unpriced,
                   greatest(spot * price + buys, perp * price + sells, target * price) AS notional,
                   greatest((target - spot) * price * (1 + $10::numeric), buys) AS needed
            FROM held),
         recent AS (
            SELECT p.id, p.pair, p.state, p.created_at > (SELECT at FROM armed) AS counts,
                   count(*) AS orders
            FROM execution.plan p JOIN execution.attempt a ON a.plan_id = p.id
            WHERE p.decided_at > $7::timestamptz - interval '1 hour' GROUP BY p.id),
         today AS (
            SELECT net, venue_at FROM ledger.equity
            WHERE venue_at >= date_trunc('day', $7::timestamptz, 'UTC')
              AND recorded_at > (SELECT at FROM armed))
    SELECT (SELECT coalesce(max(notional), 0) FROM worst WHERE pair = $3) AS pair_notional,
           (SELECT coalesce(sum(notional), 0) FROM worst) AS gross_notional,
           (SELECT coalesce(array_agg(pair ORDER BY pair), '{}') FROM worst WHERE is_unpriced)
               AS unpriced,
           (SELECT coalesce(sum(needed), 0) FROM worst) AS needed,
           coalesce((SELECT venue_balance FROM ledger.posting_group WHERE asset = 'USDT'
                     ORDER BY id DESC LIMIT 1), 0)
           - (SELECT coalesce(sum(f.value), 0) FROM execution.fill f
              WHERE f.category = 'spot' AND f.side = 'Buy' AND f.plan_id IS NOT NULL
                AND f.booked_at > $9::timestamptz - interval '10 minutes'
                AND NOT EXISTS (SELECT 1 FROM ledger.posting_group g
                                WHERE g.exec_id = f.exec_id)) AS free,
           (SELECT coalesce(sum(orders), 0)::integer FROM recent) AS orders,
           (SELECT count(*)::integer FROM recent WHERE counts AND id <> $8) AS plans,
           (SELECT count(*)::integer FROM recent
            WHERE counts AND pair = $3 AND state = 'flat') AS round_trips,
           (SELECT coalesce(sum(CASE fee_currency WHEN 'USDT' THEN fee ELSE fee * price END), 0)
            FROM execution.fill
            WHERE venue_at > $7::timestamptz - interval '1 hour' AND exec_type <> 'Funding'
              AND booked_at > (SELECT at FROM armed)) AS fees,
           (SELECT count(*)::integer FROM execution.attempt
            WHERE state = 'rejected' AND updated_at > $9::timestamptz - interval '1 minute')
               AS rejects,
           coalesce(greatest((SELECT net FROM today ORDER BY venue_at LIMIT 1)
                             - (SELECT net FROM today ORDER BY venue_at DESC LIMIT 1), 0), 0)
               AS day_loss"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to add: a plan's target, and of it the order that is to go out now.

    ``buys`` and ``sells`` are that order's worth at its limit price, USDT: spot bought, perpetual
    sold short; both zero while the plan is only to be begun.
    """

    plan_id: str
    pair: str
    target: Decimal
    buys: Decimal
    sells: Decimal


async def lock_gate(connection: Connection) -> None:
    """Let one after another add risk: wait for, and hold, the gate until the transaction ends."""
    await connection.execute(LOCK_GATE)


async def read_stake(
    connection: Connection,
    wish: Wish,
    *,
    prices: Mapping[str, Decimal],
    collar: Decimal,
    rearmed_by: tuple[str, ...],
    venue_at: datetime,
    now: datetime,
) -> Stake:
    """Return what is at stake with ``wish`` added; the gate must be locked.

    ``prices`` are marks, ``venue_at`` is venue time and ``now`` wall time. Lifting a kill whose
    reason begins with one of ``rearmed_by`` sets throttles and the day's loss back.
    """
    row = await connection.fetchrow(
        READ_STAKE,
        list(prices),
        list(prices.values()),
        wish.pair,
        wish.target,
        wish.buys,
        wish.sells,
        venue_at,
        wish.plan_id,
        now,
        collar,
        list(rearmed_by),
    )
    return Stake(**{**dict(row), "unpriced": tuple(row["unpriced"])})
