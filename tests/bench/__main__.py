"""``make bench``: each row is a ratio of ours to a yardstick, medians of paired rounds."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pydantic
from rich.console import Console
from rich.table import Table

from shared.bus.messages import QuoteUpdated, decode, encode
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.strategy import decide
from tests.bench.events import events
from tests.bench.frames import frames
from tests.bench.kill import kill
from tests.bench.load import load
from tests.bench.plugins import plugins
from tests.bench.sweep import sweep
from tests.support.markets import market, snapshot

ROUNDS = 7
AT = datetime(2023, 11, 11, tzinfo=UTC)


class PydanticQuote(pydantic.BaseModel):
    """The yardstick of PG11: the same message in pydantic."""

    category: str
    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    venue_at: datetime
    received_at: datetime
    mark: Decimal
    index: Decimal
    predicted_rate: Decimal


def paired(ours: Callable[[], object], yardstick: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of CPU seconds of both, measured in turn."""
    rows = [(cpu_seconds(ours), cpu_seconds(yardstick)) for _ in range(ROUNDS)]
    return statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows)


def cpu_seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def messages() -> tuple[str, float, float, str]:
    fields = {
        "category": "linear", "symbol": "BTCUSDT", "bid": Decimal("37000.1"),
        "bid_size": Decimal("5.4"), "ask": Decimal("37000.2"), "ask_size": Decimal("5.4"),
        "venue_at": AT, "received_at": AT, "mark": Decimal("37000.15"),
        "index": Decimal("37000.15"), "predicted_rate": Decimal("0.0001"),
    }  # fmt: skip
    quote, other = QuoteUpdated(**fields), PydanticQuote(**fields)  # type: ignore[arg-type]

    def ours() -> None:
        for _ in range(10_000):
            decode(encode(quote))

    def yardstick() -> None:
        for _ in range(10_000):
            PydanticQuote.model_validate_json(other.model_dump_json())

    return "message there and back (PG11, wants <= 0.14)", *paired(ours, yardstick), "pydantic"


def decisions() -> tuple[str, float, float, str]:
    seen = snapshot(*(market(base) for base in ("AAA", "BBB", "CCC", "DDD", "EEE")))
    policy = CarryPolicy()

    def ours() -> None:
        for _ in range(200):
            decide(Portfolio(), seen, policy)

    def yardstick() -> None:
        for _ in range(200):
            for _ in range(5 * 60):
                Decimal("0.0001") * Decimal("37000.15") + Decimal("0.1")

    return "decision over 5 pairs", *paired(ours, yardstick), "300 exact multiply-adds"


def main() -> None:
    """Print the table, how fast a kill works, and what a minute of the firehose showed."""
    table = Table(box=None)
    for title in ("what", "ours, ms", "yardstick, ms", "ratio", "yardstick"):
        table.add_column(title, justify="left" if title in ("what", "yardstick") else "right")
    for what, ours, yardstick, name in (messages(), decisions(), frames()):
        ratio = ours / yardstick
        table.add_row(what, f"{ours * 1e3:.1f}", f"{yardstick * 1e3:.1f}", f"{ratio:.3f}", name)
    console = Console()
    console.print(table)
    for sentence in kill().sentences():
        console.print(sentence, soft_wrap=True)
    console.print(load().sentence(), soft_wrap=True)
    for section in (sweep, events, plugins):
        for figure in section():
            console.print(str(figure), soft_wrap=True)


if __name__ == "__main__":
    main()
