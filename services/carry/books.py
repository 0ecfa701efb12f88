"""``carry adopt``, ``carry ignore`` and ``carry ledger``: what a person does with the books."""

import asyncio
import getpass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from services.carry.demo.supervisor import DEMO
from services.carry.replaying import connected
from services.executor.audit import audit
from shared.domain.money import plain
from shared.runtime.clock import SystemClock
from shared.store.commands import DONE, insert_command, read_outcome

WAIT_SECONDS: Final = 30
READ_GROUP: Final = """
    SELECT g.id, g.key, g.kind, g.pair, g.asset, g.venue_balance, g.venue_at, g.correlation_id,
           r.kind AS row_kind, r.cash_flow, r.funding, r.fee, r.change, r.price, r.reference_price,
           r.exec_id, f.exec_type, f.link_id, a.purpose, p.id AS plan_id, p.reason, p.state
    FROM ledger.posting_group g
    LEFT JOIN ledger.log_row r ON r.group_id = g.id
    LEFT JOIN execution.fill f ON f.category = r.category AND f.exec_id = r.exec_id
    LEFT JOIN execution.attempt a ON a.link_id = f.link_id
    LEFT JOIN execution.plan p ON p.id = f.plan_id
    WHERE g.id = $1"""
READ_LINES: Final = """
    SELECT account, asset, amount FROM ledger.entry WHERE group_id = $1 ORDER BY line"""

console = Console(highlight=False, soft_wrap=True)


async def command(kind: str, pair: str, reason: str, dsn: str | None, state: Path) -> int:
    """Ask the executor for it and wait; return 0 when it is done, 1 when it is not."""
    clock = SystemClock()
    async with connected(dsn, state / DEMO, "carry_commander") as connection:
        asked = await insert_command(connection, kind, pair, reason, getpass.getuser(), clock.now())
        for _ in range(WAIT_SECONDS):
            outcome = await read_outcome(connection, asked)
            if outcome is not None:
                console.print(f"carry {kind} {pair}: {outcome}", markup=False)
                return 0 if outcome == DONE else 1
            await asyncio.sleep(1.0)
    console.print(
        f"carry {kind} {pair}: asked for as command {asked}; the executor takes it up when it runs "
        "and the pair is not at work.",
        markup=False,
    )
    return 1


async def verify(dsn: str | None, state: Path) -> int:
    """Print whether the books are what their rows make; return 0 if so."""
    async with connected(dsn, state / DEMO) as connection:
        done = await audit(connection)
    if done.broken is not None:
        console.print(f"broken: {done.broken}; {done.groups} groups before it hold", markup=False)
    for difference in done.differences:
        console.print(f"differs: {difference}", markup=False)
    if done.is_clean:
        console.print(f"{done.groups} groups: the chain holds and the books follow from it.")
    return 0 if done.is_clean else 1


async def explain(group: int, dsn: str | None, state: Path) -> int:
    """Print one posting group with its cause; return 1 when there is none of that number."""
    async with connected(dsn, state / DEMO) as connection:
        row = await connection.fetchrow(READ_GROUP, group)
        lines = await connection.fetch(READ_LINES, group)
    if row is None:
        console.print(f"carry ledger explain: there is no group {group}.", markup=False)
        return 1
    for sentence in told(row, lines):
        console.print(sentence, markup=False)
    return 0


def told(row: Any, lines: list[Any]) -> list[str]:
    """Return the sentences that explain a group."""
    owner = row["pair"] or "no pair"
    said = [f"{row['id']} {row['key']}: {row['kind']} of {owner}, {row['venue_at'].isoformat()}"]
    said += [f"  {e['account']:<9} {plain(e['amount']):>24} {e['asset']}" for e in lines]
    said.append(f"  the venue's balance after it: {plain(row['venue_balance'])} {row['asset']}")
    if row["row_kind"] is not None:
        parts = (f"{n} {plain(row[n])}" for n in ("cash_flow", "funding", "fee", "change"))
        said.append(f"  the venue's row: {row['row_kind']}, {', '.join(parts)}")
    if row["exec_type"] is not None:
        said.append(f"  execution {row['exec_id']}, {row['exec_type']}, order {row['link_id']}")
    if row["reference_price"] is not None and row["price"] is not None:
        mid = plain(row["reference_price"])
        said.append(f"  at {plain(row['price'])}; the mid was {mid}")
    if row["plan_id"] is not None:
        said.append(f"  plan {row['plan_id']} ({row['state']}): {row['reason']}, {row['purpose']}")
    if row["correlation_id"]:
        said.append(f"  correlation {row['correlation_id']}")
    return said
