"""What the API is told besides its adapters."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from shared.domain.risk import RiskLimits

Venue = Literal["replay", "paper", "demo", "testnet", "live"]


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """``dashboard`` is the folder of the built pages; None, or one that is not there: no pages."""

    venue: Venue = "replay"
    version: str = "0.0.0"
    replay_speed: Decimal = Decimal(1)
    limits: RiskLimits = field(default_factory=RiskLimits)
    dashboard: Path | None = None
