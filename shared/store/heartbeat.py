"""One row per service: alive when, ready or not, and why."""

from datetime import datetime
from typing import Final

from shared.store.pool import WritePool

BEAT: Final = """
    INSERT INTO ops.heartbeat (service, ready, detail, venue_at, seen_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (service) DO UPDATE SET ready = excluded.ready, detail = excluded.detail,
        venue_at = excluded.venue_at, seen_at = excluded.seen_at"""


async def beat(
    pool: WritePool,
    service: str,
    ready: bool,
    detail: str,
    venue_at: datetime | None,
    now: datetime,
) -> None:
    """Store that ``service`` lives at ``now`` (wall), having seen the venue at ``venue_at``."""
    async with pool.acquire() as connection:
        await connection.execute(BEAT, service, ready, detail, venue_at, now)
