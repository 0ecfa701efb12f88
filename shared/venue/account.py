"""The books of one unified account: wallet, positions, executions and the running log."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from shared.venue.amounts import ZERO, quotient
from shared.venue.fees import fee_rate, trading_fee
from shared.venue.forced import Forced
from shared.venue.funding import funding_received
from shared.venue.records import Event, Execution, LogEntry, Order, Position
from shared.venue.rules import Rule


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a booking happens (venue milliseconds) and the product's mark price then."""

    ms: int
    mark: Decimal


@dataclass(frozen=True, slots=True)
class LogRow:
    """What one log row moves; the account adds its id, change and balance."""

    time_ms: int
    type: str
    currency: str
    cause: Execution | None = None
    qty: Decimal = ZERO
    cash_flow: Decimal = ZERO
    funding: Decimal = ZERO
    fee: Decimal = ZERO


@dataclass(slots=True)
class Account:
    """Everything that moves money, booked once: every change of the wallet is a log row."""

    wallet: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    counter: int = 0

    def next_id(self, kind: int) -> str:
        """Return the next id: shaped like a UUID, derived from a counter alone."""
        self.counter += 1
        return f"{kind:08x}-0000-4000-8000-{self.counter:012x}"

    def deposit(self, deposits: Mapping[str, Decimal], now_ms: int) -> None:
        """Book opening balances as TRANSFER_IN rows."""
        for coin, amount in deposits.items():
            self._book(LogRow(now_ms, "TRANSFER_IN", coin, cash_flow=amount, qty=amount))

    def position(self, rule: Rule) -> Position:
        """Return the position in ``rule``'s product, flat when there never was one."""
        known = self.positions.get(rule.symbol)
        return known or Position(rule.symbol, ZERO, ZERO, rule.max_leverage)

    def fill(
        self,
        order: Order,
        rule: Rule,
        price: Decimal,
        qty: Decimal,
        now: Stamp,
        *,
        maker: bool,
        forced: Forced | None = None,
    ) -> Order:
        """Book one fill and return the order after it; the caller settles the order's status."""
        value = price * qty
        fee, currency = trading_fee(rule, order.side, qty, value, is_maker=maker)
        is_free = forced is not None and not forced.pays_fee
        if is_free:
            fee, currency = ZERO, rule.quote
        closed, realised = ZERO, ZERO
        if rule.category == "linear":
            closed, realised = self._move(order.side, rule, price, qty, now)
        fees = {**order.fees, currency: order.fees.get(currency, ZERO) + fee}
        after = replace(
            order,
            filled_qty=order.filled_qty + qty,
            filled_value=order.filled_value + value,
            fees=fees,
            status="PartiallyFilled",
            updated_ms=now.ms,
        )
        execution = Execution(
            exec_id=self.next_id(2),
            order_id=order.order_id,
            link_id=order.link_id,
            category=rule.category,
            symbol=rule.symbol,
            side=order.side,
            order_type=order.order_type,
            order_price=order.price or price,
            order_qty=order.qty,
            leaves_qty=max(ZERO, order.qty - after.filled_qty),
            price=price,
            qty=qty,
            value=value,
            fee=fee,
            fee_currency=currency,
            fee_rate=ZERO if is_free else fee_rate(rule, is_maker=maker),
            exec_type="Trade" if forced is None else forced.exec_type,
            is_maker=maker,
            closed_size=closed,
            realised_pnl=realised,
            mark_price=now.mark,
            time_ms=now.ms,
            seq=self.counter,
            create_type=order.create_type,
        )
        self.executions.append(execution)
        self._log_trade(execution, rule, "TRADE" if forced is None else forced.log_type)
        self.events.append(Event("execution", execution))
        return after

    def settle(self, rule: Rule, rate: Decimal, now: Stamp) -> Execution | None:
        """Book the funding of the position held now, at the mark; None when flat."""
        position = self.position(rule)
        if not position.size:
            return None
        received = funding_received(position.size, now.mark, rate)
        size = abs(position.size)
        execution = Execution(
            exec_id=self.next_id(2),
            order_id=self.next_id(4),
            link_id="",
            category="linear",
            symbol=rule.symbol,
            side=position.side,
            order_type="UNKNOWN",
            order_price=ZERO,
            order_qty=ZERO,
            leaves_qty=ZERO,
            price=now.mark,
            qty=size,
            value=now.mark * size,
            fee=-received,
            fee_currency=rule.quote,
            fee_rate=rate if position.size > 0 else -rate,
            exec_type="Funding",
            is_maker=False,
            closed_size=ZERO,
            realised_pnl=ZERO,
            mark_price=now.mark,
            time_ms=now.ms,
            seq=self.counter,
            create_type="",
        )
        self.executions.append(execution)
        self._book(
            LogRow(now.ms, "SETTLEMENT", rule.quote, execution, qty=size, funding=received),
            size=position.size,
        )
        self.events.append(Event("execution", execution))
        self.events.append(Event("position", position))
        self.tell_wallet(rule.quote)
        return execution

    def tell_wallet(self, *coins: str) -> None:
        """Queue a wallet message with the balances of ``coins``."""
        self.events.append(Event("wallet", {coin: self.wallet.get(coin, ZERO) for coin in coins}))

    def _move(
        self, side: str, rule: Rule, price: Decimal, qty: Decimal, now: Stamp
    ) -> tuple[Decimal, Decimal]:
        """Change the position; return the quantity closed and the gain realised.

        A partial close releases its share of the entry value to twelve places and leaves the
        rest, so that an opening and its closes add up exactly.
        """
        held = self.position(rule)
        signed = qty if side == "Buy" else -qty
        closed = min(qty, abs(held.size)) if held.size * signed < 0 else ZERO
        released = held.entry_value
        if closed < abs(held.size):
            released = quotient(held.entry_value * closed, abs(held.size)) if closed else ZERO
        gain = (closed * price - released) * (1 if held.size > 0 else -1) if closed else ZERO
        self.positions[rule.symbol] = replace(
            held,
            size=held.size + signed,
            entry_value=held.entry_value - released * bool(closed) + (qty - closed) * price,
            realised_pnl=held.realised_pnl + gain,
            created_ms=held.created_ms if held.size else now.ms,
            updated_ms=now.ms,
            seq=self.counter,
        )
        return closed, gain

    def _log_trade(self, execution: Execution, rule: Rule, kind: str) -> None:
        if rule.category == "linear":
            row = LogRow(
                execution.time_ms,
                kind,
                rule.quote,
                execution,
                qty=execution.qty,
                cash_flow=execution.realised_pnl,
                fee=execution.fee,
            )
            self._book(row, size=self.position(rule).size)
            return
        sign = 1 if execution.side == "Buy" else -1
        shared = self.next_id(3)  # one id on both rows, as in the venue's own example
        for coin, flow in (
            (rule.base, execution.qty * sign),
            (rule.quote, -execution.value * sign),
        ):
            fee = execution.fee if coin == execution.fee_currency else ZERO
            moved = LogRow(execution.time_ms, kind, coin, execution, flow, flow, fee=fee)
            self._book(moved, row_id=shared)

    def _book(self, row: LogRow, size: Decimal = ZERO, row_id: str = "") -> None:
        change = row.cash_flow + row.funding - row.fee
        balance = self.wallet.get(row.currency, ZERO) + change
        self.wallet[row.currency] = balance
        cause = row.cause
        entry = LogEntry(
            id=row_id or self.next_id(3),
            type=row.type,
            category=cause.category if cause else "",
            symbol=cause.symbol if cause else "",
            side=cause.side if cause else "",
            time_ms=row.time_ms,
            currency=row.currency,
            qty=row.qty,
            size=size,
            trade_price=cause.price if cause else ZERO,
            cash_flow=row.cash_flow,
            funding=row.funding,
            fee=row.fee,
            change=change,
            cash_balance=balance,
            fee_rate=cause.fee_rate if cause and (row.fee or row.funding) else ZERO,
            trade_id=cause.exec_id if cause else "",
            order_id=cause.order_id if cause else "",
            link_id=cause.link_id if cause else "",
        )
        self.log.append(entry)
