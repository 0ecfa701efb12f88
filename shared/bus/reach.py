"""Whether the store and the bus answer, for the readiness of a service."""

from redis.asyncio import Redis

from shared.bus.redis import UNAVAILABLE as REDIS_UNAVAILABLE
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import ReadPool


async def unreachable(pool: ReadPool, redis: Redis) -> list[str]:
    """Return one sentence for each of the two that does not answer."""
    reasons = []
    try:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
    except STORE_UNAVAILABLE as error:
        reasons.append(f"the store does not answer: {type(error).__name__}")
    try:
        await redis.ping()
    except REDIS_UNAVAILABLE as error:
        reasons.append(f"the bus does not answer: {type(error).__name__}")
    return reasons
