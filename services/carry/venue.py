"""``carry simulator`` with a source of its own: a stand-alone venue, no settings needed."""

import os
import secrets
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.simulator.main import run_alone
from services.simulator.settings import SimulatorSettings

KEYS = ("CARRY_API_KEY", "CARRY_API_SECRET")


async def serve_venue(given: Mapping[str, Any], state: Path | None) -> None:
    """Serve until told to stop; what is None in ``given`` takes its default.

    The key pair is that of CARRY_API_KEY and CARRY_API_SECRET, or made up and printed. Books
    stay in ``state``; without one they go when the simulator does.
    """
    options = {name: value for name, value in given.items() if value is not None}
    if "synthetic" in options:
        options.setdefault("speed", Decimal(1))
    stated = [os.environ.get(name, "") for name in KEYS]
    key, secret = stated if all(stated) else (secrets.token_hex(9), secrets.token_hex(18))
    settings = SimulatorSettings(
        **{"start": None, **options},
        database=state / "simulator.sqlite" if state is not None else None,
        key=(key, secret),
    )
    await run_alone(settings, shows_key=not all(stated))
