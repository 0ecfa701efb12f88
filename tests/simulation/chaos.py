"""What happens at instants of its own: processes die, servers go away, the venue has a bad day."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from services.executor.lease import SEVERS
from tests.simulation.actors import Actor, Stage
from tests.simulation.clock import wall
from tests.simulation.faults import MOMENTS, THEMES
from tests.simulation.venue import ENDPOINTS, LAG_MAX
from tests.simulation.world import WORLD

PRESS_KILL: Final = """
    INSERT INTO execution.kill (level, reason, pressed_by, pressed_at)
    VALUES ($1, 'drill', 'simulation', $2)"""
LIFT_KILLS: Final = "UPDATE execution.kill SET lifted_at = $1 WHERE lifted_at IS NULL"


class Chaos:
    """Makes trouble while the swarm is active, and ends all of it with ``calm``."""

    def __init__(self, stage: Stage, actors: Sequence[Actor]) -> None:
        self._stage = stage
        self._world = stage.world
        self._actors = actors
        self._dice = stage.world.dice("chaos")
        self._do: dict[str, Callable[[str], bool]] = {
            "killed": self._kill,
            "stopped": self._stop,
            "frozen": self._freeze,
            "store_down": self._away,
            "bus_down": self._away,
            "bus_flushed": self._forget,
            "bus_tail_lost": self._forget,
            "bus_trimmed": self._forget,
            "bus_evicted": self._forget,
            "reads_lag": self._lag,
            "stream_reset": self._reset,
            "venue_restart": self._close,
            "maintenance": self._close,
            "key_revoked": self._revoke,
            "deleveraged": self._deleverage,
            "price_jump": self._jump,
            "books_thin": self._thin,
            "kill_pressed": self._press,
            "margin_asked": self._ask_margin,
        }

    def start(self) -> None:
        """Let each kind that is on happen at its own instants."""
        self._world.press_kill = self._press_level
        for kind in (kind for theme in THEMES for kind in MOMENTS[theme]):
            if self._world.swarm.rate(kind):
                WORLD.run(self._world.loop.create_task, self._happen(kind))

    def calm(self) -> None:
        """End the safety phase: nothing fails from here on, and what is away comes back."""
        stage = self._stage
        self._world.swarm.is_active = False
        self._world.note("chaos", "calm")
        now = self._world.loop.time()
        stage.outages.until = stage.redis.down_until = now
        venue = stage.venue
        venue.down_until = venue.revoked_until = venue.thin_until = now
        venue.lags = dict.fromkeys(ENDPOINTS, 0.0)
        for actor in self._actors:
            if actor.process is not None and actor.process.is_paused:
                actor.process.resume()
        stage.wants = False
        wanting = self._actors[0].process
        if wanting is not None:
            wanting.kill()  # it comes back to publish what it has said, and says no more
        self._lift()

    async def _happen(self, kind: str) -> None:
        dice = self._world.dice(f"moments of {kind}")
        while True:
            await asyncio.sleep(dice.wait(60 / self._world.swarm.rates[kind]))
            if not self._world.swarm.is_active:
                return
            if self._do[kind](kind):
                self._world.happened(kind, "chaos")

    def _kill(self, _: str) -> bool:
        process = self._dice.pick(self._actors).process
        if process is None or process.is_dead:
            return False
        self._world.crash(process, "some instant")
        return True

    def _stop(self, _: str) -> bool:
        process = self._dice.pick(self._actors).process
        if process is None or process.is_dead or not process.on_signal:
            return False
        process.stop(signal.SIGTERM)
        return True

    def _freeze(self, _: str) -> bool:
        process = self._dice.pick(self._actors).process
        if process is None or process.is_dead or process.is_paused:
            return False
        self._world.freeze(process, self._dice.between(0.5, 20.0))
        return True

    def _away(self, kind: str) -> bool:
        until = self._world.loop.time() + self._dice.between(0.1, 10.0)
        if kind == "store_down":
            self._stage.outages.until = until
        else:
            self._stage.redis.down_until = until
        return True

    def _forget(self, kind: str) -> bool:
        self._stage.redis.lose(kind)
        return True

    def _lag(self, _: str) -> bool:
        chosen = [name for name in ENDPOINTS if self._dice.chance(0.5)]
        lags = self._stage.venue.lags
        for name in chosen:
            lags[name] = self._dice.between(0.1, LAG_MAX)
        self._world.later(self._dice.between(2.0, 20.0), lags.update, dict.fromkeys(chosen, 0.0))
        return bool(chosen)

    def _reset(self, _: str) -> bool:
        gateways = [a.gateway for a in self._actors if a.gateway is not None]
        for gateway in gateways:
            gateway.reset(self._dice.between(0.05, 5.0))
        return bool(gateways)

    def _close(self, kind: str) -> bool:
        seconds = self._dice.between(1.0, 5.0 if kind == "venue_restart" else 20.0)
        self._stage.venue.down_until = self._world.loop.time() + seconds
        for actor in self._actors:
            if actor.gateway is not None:
                actor.gateway.reset(seconds)
        return True

    def _revoke(self, _: str) -> bool:
        self._stage.venue.revoked_until = self._world.loop.time() + self._dice.between(1.0, 15.0)
        return True

    def _deleverage(self, _: str) -> bool:
        return self._stage.venue.deleverage()

    def _jump(self, _: str) -> bool:
        self._stage.venue.jump()
        return True

    def _thin(self, _: str) -> bool:
        self._stage.venue.thin_until = self._world.loop.time() + self._dice.between(2.0, 20.0)
        return True

    def _ask_margin(self, _: str) -> bool:
        """Let the venue ask for much more margin for a while, often beyond the end."""
        venue, percent = self._stage.venue, self._dice.whole(45, 90)
        percent += 5 * (percent >= 58)  # never so near the line that prices alone cross it
        is_asked = venue.ask_margin(Decimal(percent) / 100)
        if is_asked:
            self._world.later(self._dice.between(10.0, 300.0), venue.ask_margin, None)
        return is_asked

    def _press(self, _: str) -> bool:
        self._press_level(self._dice.pick((1, 1, 2, 3, 4)))
        return True

    def _press_level(self, level: int) -> None:
        self._stage.store.execute(PRESS_KILL, level, wall(self._world.loop))
        longest = 40.0 if level >= SEVERS else 20.0  # long enough for the watchdog to act
        self._world.later(self._dice.between(3.0, longest), self._lift)

    def _lift(self) -> None:
        self._stage.store.execute(LIFT_KILLS, wall(self._world.loop))
