"""Who is running and how old the data is: pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from services.api.options import ApiOptions
from services.api.schemas import ServiceHealth, StatusView
from shared.store.views.status import HeartbeatRow, MarketClock

EXPECTED: Final = ("collector", "strategy", "executor")
SILENCE_MAX: Final = timedelta(seconds=5)
"""A service beats each second; after this much wall time without one it is taken for dead."""


def status(
    options: ApiOptions, market: MarketClock, beats: Iterable[HeartbeatRow], now: datetime
) -> StatusView:
    """Return the state of everything at wall time ``now``."""
    return StatusView(
        venue=options.venue,
        version=options.version,
        venue_at=market.venue_at,
        wall_at=now,
        replay_speed=options.replay_speed if options.venue == "replay" else None,
        data_age_seconds=None if market.received_at is None else seconds(now - market.received_at),
        next_settlement_at=market.next_settlement_at,
        services=_services(beats, now),
    )


def seconds(span: timedelta) -> Decimal:
    """Return a span in seconds, exact, never negative: clocks of two machines may disagree."""
    micros = max(span, timedelta(0)) // timedelta(microseconds=1)
    return Decimal(micros).scaleb(-6)


def _services(beats: Iterable[HeartbeatRow], now: datetime) -> list[ServiceHealth]:
    heard = {beat.service: beat for beat in beats}
    names = [*EXPECTED, *sorted(heard.keys() - {*EXPECTED, "api"})]
    found = [_health(name, heard.get(name), now) for name in names]
    return [*found, ServiceHealth(name="api", alive=True, ready=True, detail="", seen_at=now)]


def _health(name: str, beat: HeartbeatRow | None, now: datetime) -> ServiceHealth:
    if beat is None:
        return ServiceHealth(name=name, alive=False, ready=False, detail="", seen_at=None)
    alive = now - beat.seen_at <= SILENCE_MAX
    return ServiceHealth(
        name=name, alive=alive, ready=alive and beat.ready, detail=beat.detail, seen_at=beat.seen_at
    )
