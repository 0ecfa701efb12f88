"""Long lists as ready JSON: the database writes each row once, nobody parses it on the way.

Amounts are text in full digits, instants ISO 8601 in UTC. A page ends with all rows that share its
last key, so that none is lost between two pages: it may be a few rows longer than asked.
"""

from datetime import datetime
from typing import Final

from asyncpg import Connection

_ISO: Final = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
READ_ORDERS: Final = f"""
    SELECT coalesce(json_agg(t), '[]')::text FROM (
        SELECT a.link_id AS client_order_id, a.correlation_id, a.pair, a.category, a.symbol,
               a.side, a.quantity::text AS quantity, a.limit_price::text AS limit_price,
               a.filled_quantity::text AS filled_quantity,
               CASE WHEN a.filled_quantity <> 0
                    THEN trim_scale(round(a.filled_value / a.filled_quantity, 12))::text
               END AS average_price,
               a.state, to_char(a.created_at AT TIME ZONE 'UTC', {_ISO}) AS created_at
        FROM (SELECT o.*, p.pair FROM execution.attempt o JOIN execution.plan p ON p.id = o.plan_id
              WHERE ($2::timestamptz IS NULL OR o.created_at < $2)
                AND ($3::text IS NULL OR p.pair = $3)
              ORDER BY o.created_at DESC FETCH FIRST ($1) ROWS WITH TIES) a
        ORDER BY a.created_at DESC, a.link_id) t"""  # noqa: S608 - constants of this file
READ_LEDGER: Final = f"""
    SELECT coalesce(json_agg(t), '[]')::text FROM (
        SELECT e.group_id, e.account, e.asset, e.amount::text AS amount, g.kind, g.pair,
               to_char(g.venue_at AT TIME ZONE 'UTC', {_ISO}) AS at, g.correlation_id
        FROM (SELECT * FROM ledger.entry
              WHERE ($2::bigint IS NULL OR group_id < $2)
              ORDER BY group_id DESC FETCH FIRST ($1) ROWS WITH TIES) e
        JOIN ledger.posting_group g ON g.id = e.group_id
        ORDER BY e.group_id DESC, e.line) t"""  # noqa: S608 - constants of this file
READ_FUNDING_RATES: Final = f"""
    SELECT coalesce(json_agg(t), '[]')::text FROM (
        SELECT symbol, to_char(settled_at AT TIME ZONE 'UTC', {_ISO}) AS settled_at,
               rate::text AS rate, interval_hours::text AS interval_hours
        FROM (SELECT * FROM market.funding_settlement
              WHERE ($2::timestamptz IS NULL OR settled_at < $2)
                AND ($3::text IS NULL OR symbol = $3)
              ORDER BY settled_at DESC FETCH FIRST ($1) ROWS WITH TIES) f
        ORDER BY f.settled_at DESC, symbol) t"""  # noqa: S608 - constants of this file
READ_RUNS: Final = f"""
    SELECT coalesce(json_agg(t), '[]')::text FROM (
        SELECT id, kind, state, to_char(created_at AT TIME ZONE 'UTC', {_ISO}) AS created_at,
               result ->> 'net' AS net_usdt, detail, done, total
        FROM (SELECT * FROM research.run
              WHERE ($2::timestamptz IS NULL OR created_at < $2)
              ORDER BY created_at DESC FETCH FIRST ($1) ROWS WITH TIES) r
        ORDER BY r.created_at DESC, id) t"""  # noqa: S608 - constants of this file
READ_SKIPPED: Final = f"""
    WITH newest AS (SELECT decided_at, verdicts FROM strategy.decision
                    ORDER BY decided_at DESC LIMIT 1),
    told AS (
        SELECT s.reason, count(*) AS skipped,
               count(*) FILTER (WHERE s.followed_at IS NULL) AS running, count(s.earned) AS known,
               sum(s.earned) AS would_have_earned, avg(s.earned) AS mean,
               count(*) FILTER (WHERE s.earned > 0) AS won
        FROM research.skip s, newest n
        WHERE s.decided_at > n.decided_at - $1 * interval '1 day' GROUP BY s.reason)
    SELECT json_build_object(
        'as_of', (SELECT to_char(decided_at AT TIME ZONE 'UTC', {_ISO}) FROM newest),
        'days', $1,
        'hold_hours', (SELECT verdicts ->> 'hold_hours' FROM newest),
        'reasons', (SELECT coalesce(json_agg(json_build_object(
                        'reason', reason, 'skipped', skipped, 'running', running, 'known', known,
                        'would_have_earned', would_have_earned::text,
                        'mean', trim_scale(round(mean, 12))::text,
                        'share_won', trim_scale(round(won::numeric / nullif(known, 0), 12))::text)
                        ORDER BY would_have_earned DESC NULLS LAST, reason), '[]') FROM told)
        )::text"""  # noqa: S608 - constants of this file
READ_FORECASTS: Final = f"""
    WITH told AS (
        SELECT f.*, o.realised
        FROM research.forecast f
        CROSS JOIN LATERAL (
            SELECT CASE WHEN sum(interval_hours) = f.horizon * 8 THEN sum(rate) / f.horizon END
                       ::float8 AS realised
            FROM market.funding_settlement s
            WHERE s.symbol = f.symbol AND s.settled_at > f.made_of
              AND s.settled_at <= f.made_of + f.horizon * interval '8 hours') o
        WHERE f.symbol = $1
          AND f.made_of > (SELECT max(made_of) FROM research.forecast WHERE symbol = $1)
                          - $2 * interval '1 day'),
    newest AS (SELECT DISTINCT ON (horizon) * FROM told ORDER BY horizon, made_of DESC),
    scores AS (
        SELECT horizon, count(realised) AS over, sqrt(avg((mean - realised) ^ 2)) AS rmse,
               sqrt(avg((last - realised) ^ 2) FILTER (WHERE realised IS NOT NULL)) AS rmse_naive,
               avg((realised BETWEEN low AND high)::integer)
                   FILTER (WHERE realised IS NOT NULL AND low IS NOT NULL) AS in_range
        FROM told GROUP BY horizon)
    SELECT json_build_object(
        'symbol', $1, 'days', $2,
        'horizons', (SELECT coalesce(json_agg(json_build_object(
            'horizon', n.horizon,
            'made_of', to_char(n.made_of AT TIME ZONE 'UTC', {_ISO}),
            'mean', trim_scale(n.mean::numeric)::text, 'low', trim_scale(n.low::numeric)::text,
            'high', trim_scale(n.high::numeric)::text, 'last', trim_scale(n.last::numeric)::text,
            'has_skill', n.has_skill, 'over', s.over,
            'rmse', trim_scale(s.rmse::numeric)::text,
            'rmse_naive', trim_scale(s.rmse_naive::numeric)::text,
            'skill', trim_scale((1 - (s.rmse / nullif(s.rmse_naive, 0)) ^ 2)::numeric)::text,
            'in_range', trim_scale(round(s.in_range, 12))::text) ORDER BY n.horizon), '[]')
            FROM newest n JOIN scores s USING (horizon))
        )::text"""  # noqa: S608 - constants of this file
READ_EQUITY: Final = f"""
    WITH numbered AS (
        SELECT venue_at, equity, net, funding, count(*) OVER () AS total,
               row_number() OVER (ORDER BY venue_at DESC) - 1 AS back
        FROM ledger.equity),
    kept AS (SELECT * FROM numbered
             WHERE back % greatest(1, (total + $1 - 1) / $1) = 0 OR back = total - 1),
    settled AS (
        SELECT max(g.venue_at) AS at, -sum(e.amount) AS amount
        FROM ledger.posting_group g JOIN ledger.entry e ON e.group_id = g.id
        WHERE g.kind = 'funding' AND e.account = 'funding' AND e.asset = 'USDT'
        GROUP BY date_bin('1 minute', g.venue_at, 'epoch'::timestamptz)
        ORDER BY 1 DESC LIMIT $1)
    SELECT json_build_object(
        'as_of', (SELECT to_char(max(venue_at) AT TIME ZONE 'UTC', {_ISO}) FROM kept),
        'points', (SELECT coalesce(json_agg(json_build_object(
                       'at', to_char(venue_at AT TIME ZONE 'UTC', {_ISO}),
                       'equity_usdt', equity::text, 'net_usdt', net::text,
                       'funding_usdt', funding::text) ORDER BY venue_at), '[]') FROM kept),
        'settlements', (SELECT coalesce(json_agg(json_build_object(
                            'at', to_char(at AT TIME ZONE 'UTC', {_ISO}),
                            'funding_usdt', amount::text) ORDER BY at), '[]') FROM settled)
        )::text"""  # noqa: S608 - constants of this file
EQUITY_POINTS: Final = 1_000


async def read_orders_json(
    connection: Connection, limit: int, before: datetime | None, pair: str | None
) -> bytes:
    """Return the newest orders made before ``before`` (wall time), newest first."""
    return await _json(connection, READ_ORDERS, limit, before, pair)


async def read_ledger_json(connection: Connection, limit: int, before: int | None) -> bytes:
    """Return the newest entries of groups below ``before``; a group is never cut."""
    return await _json(connection, READ_LEDGER, limit, before)


async def read_funding_rates_json(
    connection: Connection, limit: int, before: datetime | None, symbol: str | None
) -> bytes:
    """Return the newest settled rates before ``before`` (venue time), newest first."""
    return await _json(connection, READ_FUNDING_RATES, limit, before, symbol)


async def read_runs_json(connection: Connection, limit: int, before: datetime | None) -> bytes:
    """Return the newest back-test runs made before ``before`` (wall time), newest first."""
    return await _json(connection, READ_RUNS, limit, before)


async def read_skipped_json(connection: Connection, days: int) -> bytes:
    """Return by reason what was passed over in the last ``days`` (venue time) and its outcome."""
    return await _json(connection, READ_SKIPPED, days)


async def read_forecasts_json(connection: Connection, symbol: str, days: int) -> bytes:
    """Return a symbol's newest forecasts and how those of its last ``days`` (venue time) did."""
    return await _json(connection, READ_FORECASTS, symbol, days)


async def read_equity_json(connection: Connection, points: int = EQUITY_POINTS) -> bytes:
    """Return equity over time, oldest first, thinned evenly to about ``points``."""
    return await _json(connection, READ_EQUITY, points)


async def _json(connection: Connection, query: str, *values: object) -> bytes:
    text: str = await connection.fetchval(query, *values)
    return text.encode()
