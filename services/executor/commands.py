"""Carries out what a person decides about holdings and fills that are not ours."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final

import structlog
from asyncpg import Connection

from services.executor import ledger
from services.executor.bookkeeper import Bookkeeper
from services.executor.desk import Desk
from services.executor.executor import Executor
from services.executor.journal import Journal
from services.executor.market import Market
from shared.domain.books import Books
from shared.domain.errors import Malformed, Transient
from shared.domain.instrument import Pair
from shared.domain.log import STABLE, OwnedRow
from shared.domain.money import ZERO, plain
from shared.domain.position import PairPosition
from shared.domain.profit import WIDE
from shared.runtime.clock import Clock
from shared.store.commands import DONE, Command, finish_command, read_commands
from shared.store.orders import release_quarantined
from shared.store.positions import move_position

LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


class Commands:
    """Adopts or ignores, one command after another, while nothing of the pair is in flight."""

    def __init__(
        self,
        *,
        executor: Executor,
        bookkeeper: Bookkeeper,
        journal: Journal,
        market: Market,
        clock: Clock,
    ) -> None:
        self._executor = executor
        self._bookkeeper = bookkeeper
        self._journal = journal
        self._market = market
        self._clock = clock

    async def run(self) -> None:
        """Look every second, for ever."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (Transient, Malformed) as error:
                log.warning("command_waits", detail=str(error))

    async def look(self) -> None:
        """Carry out what was asked for; what cannot be done yet waits."""
        if not self._bookkeeper.is_open:
            return
        async with self._journal.pool.acquire() as connection:
            commands = await read_commands(connection)
        for command in commands:
            desk = self._executor.desks.get(command.pair)
            if desk is None:
                await self._finish(command, f"refused: {command.pair} is not traded here")
            elif self._executor.workers[command.pair].is_idle:
                await self._carry_out(command, desk)

    async def _carry_out(self, command: Command, desk: Desk) -> None:
        if command.kind == "adopt":
            await self._adopt(command, desk)
        else:
            await self._ignore(command)
        desk.is_foreign = False
        log.warning(
            "command_done",
            kind=command.kind,
            pair=command.pair,
            command=command.id,
            reason=command.reason,
            spot=plain(desk.position.spot_quantity),
            perp=plain(desk.position.perp_quantity),
        )

    async def _adopt(self, command: Command, desk: Desk) -> None:
        """Give the pair what nobody owns of its coin and perpetual: ledger and position at once."""
        await self._bookkeeper.read()
        await desk.drained()
        market = self._market.of(command.pair)
        at = self._market.venue_at
        if market.spot is None or market.mark_price is None or at is None:
            raise Transient(f"{command.pair} has no price to adopt at")
        prices = {"spot": market.spot.mid_price, "linear": market.mark_price}
        moved = PairPosition()

        def make(books: Books) -> list[OwnedRow]:
            nonlocal moved
            rows = list(adoptions(command, desk.pair, self._market.pairs, books, prices, at))
            moved = _moved(rows)
            return rows

        async def also(connection: Connection) -> None:
            now = self._clock.now()
            await move_position(connection, command.pair, moved, now)
            await finish_command(connection, command.id, DONE, now)

        await self._bookkeeper.repair(make, also)
        held = desk.position
        with localcontext(WIDE):
            desk.position = replace(
                held,
                spot_quantity=held.spot_quantity + moved.spot_quantity,
                perp_quantity=held.perp_quantity + moved.perp_quantity,
                spot_value=held.spot_value + moved.spot_value,
                perp_value=held.perp_value + moved.perp_value,
            )

    async def _ignore(self, command: Command) -> None:
        """Leave to others what they did; orders in quarantine come to their end."""
        async with self._journal.transaction() as connection:
            now = self._clock.now()
            await release_quarantined(connection, command.pair, now)
            await finish_command(connection, command.id, DONE, now)

    async def _finish(self, command: Command, outcome: str) -> None:
        async with self._journal.transaction() as connection:
            await finish_command(connection, command.id, outcome, self._clock.now())


def adoptions(
    command: Command,
    pair: Pair,
    pairs: Mapping[str, Pair],
    books: Books,
    prices: Mapping[str, Decimal],
    at: datetime,
) -> Iterator[OwnedRow]:
    """Yield the repair rows of what nobody owns of the pair's two products; none for nothing.

    ``prices``, by category, are what it counts at from now on.
    """
    sharing = [name for name, other in pairs.items() if other.base == pair.base]
    quantities = {
        "spot": books.unowned_coin(pair.base, sharing),
        "linear": books.unowned_perp(pair.perp.symbol, pair.name),
    }
    for category, product, coin in (
        ("spot", pair.spot, pair.base),
        ("linear", pair.perp, STABLE),
    ):
        quantity = quantities[category]
        if quantity == ZERO:
            continue
        balance = books.wallet.get(coin, ZERO)
        row = ledger.adoption(
            command.id, category, product.symbol, coin, quantity, prices[category], balance, at
        )
        yield OwnedRow(
            row, pair.name, pair.base, lot=pair.common_lot, correlation_id=f"command:{command.id}"
        )


def _moved(rows: list[OwnedRow]) -> PairPosition:
    moved = PairPosition()
    with localcontext(WIDE):
        for each in rows:
            quantity = each.row.signed_quantity
            cash = -quantity * each.row.traded_at
            if each.row.category == "spot":
                moved = replace(moved, spot_quantity=quantity, spot_value=cash)
            else:
                moved = replace(moved, perp_quantity=quantity, perp_value=cash)
    return moved
