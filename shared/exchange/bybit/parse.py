"""Wire dictionaries to domain values: ``""`` is None, unknown keys are ignored, nothing is guessed.

Whatever does not fit raises ``Malformed``. A JSON number is never taken for an amount: the venue
writes amounts as strings, and a float has already lost digits.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from shared.domain.errors import Malformed
from shared.domain.instrument import Category, Instrument
from shared.domain.money import ZERO
from shared.domain.order import Fill, Side
from shared.exchange.ports import (
    Bar,
    ExecutionReport,
    FeedQuote,
    KeyInfo,
    LogRow,
    MarginRates,
    OrderReport,
    PositionReport,
)

Row = Mapping[str, Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PRIVATE_TOPICS: Final = ("order", "execution")
BAR_FIELDS: Final = ("at", "open", "high", "low", "close", "volume")
FINAL_STATUSES: Final = frozenset(
    {"Rejected", "PartiallyFilledCanceled", "Filled", "Cancelled", "Deactivated"}
)
MAGNITUDE_MAX: Final = 40
"""Decimal places either way beyond which no price, size or balance lies; arithmetic stays exact."""
SETTLE_COINS: Final = {"USDT": "USDT", "PERP": "USDC", "USDC": "USDC"}


def instant(milliseconds_since_epoch: int | str) -> datetime:
    """Return the UTC instant of the venue's milliseconds, exactly."""
    try:
        return EPOCH + timedelta(milliseconds=int(milliseconds_since_epoch))
    except (ValueError, TypeError, OverflowError) as error:
        raise Malformed(f"{milliseconds_since_epoch!r} is no instant") from error


def milliseconds(at: datetime) -> int:
    """Return whole milliseconds since the epoch, rounded down."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def amount(row: Row, key: str) -> Decimal:
    """Return the finite decimal at ``key``.

    Raises: Malformed when it is absent, blank, not finite or a JSON number with a fraction.
    """
    value = optional_amount(row, key)
    if value is None:
        raise Malformed(f"{key} is missing")
    return value


def optional_amount(row: Row, key: str) -> Decimal | None:
    """Return the finite decimal at ``key``; None when it is absent or blank."""
    return decimal_of(row.get(key), key)


def decimal_of(raw: object, key: str) -> Decimal | None:
    """Return the finite decimal that ``raw`` is on the wire; None when it is null or blank."""
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise Malformed(f"{key} is {raw!r}, not a decimal string")
    try:
        value = Decimal(raw)
    except InvalidOperation as error:
        raise Malformed(f"{key} is {raw!r}, not a decimal") from error
    if not value.is_finite() or abs(value.adjusted()) > MAGNITUDE_MAX:
        raise Malformed(f"{key} is {raw!r}, no amount of anything")
    return value


def text(row: Row, key: str) -> str:
    """Return the non-blank string at ``key``; raises Malformed otherwise."""
    raw = row.get(key)
    if not isinstance(raw, str) or not raw:
        raise Malformed(f"{key} is {raw!r}, not text")
    return raw


def optional_text(row: Row, key: str) -> str:
    """Return the string at ``key``; empty when it is absent."""
    raw = row.get(key)
    return raw if isinstance(raw, str) else ""


def stamp(row: Row, key: str) -> datetime:
    """Return the instant at ``key``, milliseconds as text or number."""
    raw = row.get(key)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise Malformed(f"{key} is {raw!r}, not an instant")
    return instant(raw)


def rows(result: Mapping[str, Any], key: str = "list") -> list[Row]:
    """Return the list of rows in a result; raises Malformed when it is none."""
    found = result.get(key)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Malformed(f"{key} is no list of rows")
    return found


def category_of(row: Row, stated: Category | None = None) -> Category | None:
    """Return the row's product, else ``stated``; None for a product we do not trade."""
    raw = row.get("category")
    if raw is None:
        return stated
    return next((category for category in Category if category.value == raw), None)


def parse_order(row: Row, category: Category) -> OrderReport:
    """Return one order; a market order without a stated bound has limit price zero."""
    status = text(row, "orderStatus")
    filled = amount(row, "cumExecQty")
    value = optional_amount(row, "cumExecValue")
    if value is None and filled != ZERO:
        raise Malformed(f"order {row.get('orderId')!r} filled {filled} for no value")
    return OrderReport(
        category=category,
        symbol=text(row, "symbol"),
        order_id=text(row, "orderId"),
        link_id=optional_text(row, "orderLinkId"),
        side=_side(row),
        status=status,
        is_final=status in FINAL_STATUSES,
        quantity=amount(row, "qty"),
        limit_price=optional_amount(row, "price") or ZERO,
        filled_quantity=filled,
        filled_value=value or ZERO,
        reject_reason=_reason(row),
        updated_at=stamp(row, "updatedTime"),
    )


def parse_execution(row: Row, category: Category) -> ExecutionReport:
    """Return one execution; its fee is positive when paid, as on the wire."""
    symbol = text(row, "symbol")
    return ExecutionReport(
        fill=Fill(
            category=category,
            exec_id=text(row, "execId"),
            symbol=symbol,
            side=_side(row),
            quantity=amount(row, "execQty"),
            price=amount(row, "execPrice"),
            fee=amount(row, "execFee"),
            fee_currency=optional_text(row, "feeCurrency") or _settle_coin(symbol, category),
            venue_at=stamp(row, "execTime"),
        ),
        order_id=optional_text(row, "orderId"),
        link_id=optional_text(row, "orderLinkId"),
        exec_type=text(row, "execType"),
        is_maker=row.get("isMaker") is True,
    )


def parse_position(row: Row) -> PositionReport:
    """Return one perpetual position, its quantity signed by its side."""
    size = amount(row, "size")
    return PositionReport(
        symbol=text(row, "symbol"),
        quantity=size.copy_negate() if size and _side(row) is Side.SELL else size,
        entry_price=optional_amount(row, "avgPrice") or None,
        mark_price=optional_amount(row, "markPrice"),
        unrealized=optional_amount(row, "unrealisedPnl") or ZERO,
        adl_rank=int(optional_amount(row, "adlRankIndicator") or ZERO),
        maintenance=optional_amount(row, "positionMM"),
    )


def parse_log_row(row: Row) -> LogRow:
    """Return one booking; ``funding`` positive is received, ``fee`` positive is paid.

    The venue repeats ``id`` on rows of one trade, so the key takes in what tells them apart.
    """
    kind, currency, trade = text(row, "type"), text(row, "currency"), optional_text(row, "tradeId")
    at = stamp(row, "transactionTime")
    return LogRow(
        key=":".join((text(row, "id"), str(milliseconds(at)), kind, currency, trade)),
        kind=kind,
        category=optional_text(row, "category"),
        symbol=optional_text(row, "symbol"),
        currency=currency,
        side=optional_text(row, "side"),
        quantity=optional_amount(row, "qty") or ZERO,
        price=optional_amount(row, "tradePrice"),
        cash_flow=optional_amount(row, "cashFlow") or ZERO,
        funding=optional_amount(row, "funding") or ZERO,
        fee=optional_amount(row, "fee") or ZERO,
        change=amount(row, "change"),
        balance=amount(row, "cashBalance"),
        exec_id=trade,
        order_id=optional_text(row, "orderId"),
        link_id=optional_text(row, "orderLinkId"),
        venue_at=at,
    )


def parse_wallet(result: Row) -> dict[str, Decimal]:
    """Return the wallet balance per coin of a unified account; an absent coin is zero."""
    balances: dict[str, Decimal] = {}
    for account in rows(result):
        for coin in rows(account, "coin"):
            balances[text(coin, "coin")] = amount(coin, "walletBalance")
    return balances


def parse_margin(result: Row) -> MarginRates:
    """Return the account's margin rates, fractions; isolated margin has none."""
    [account] = rows(result)[:1] or [{}]
    return MarginRates(
        optional_amount(account, "accountMMRate"),
        optional_amount(account, "accountIMRate"),
        optional_amount(account, "totalMarginBalance"),
    )


def parse_top(result: Row, category: Category) -> FeedQuote:
    """Return the best level of either side of market/orderbook."""
    (bid, bid_size), (ask, ask_size) = (_best(result, side) for side in ("b", "a"))
    symbol, at = text(result, "s"), stamp(result, "ts")
    return FeedQuote(category, symbol, bid, bid_size, ask, ask_size, at)


def parse_key(row: Row) -> KeyInfo:
    """Return what the key may do; an expiry of 1970 means that none is set."""
    permissions = row.get("permissions")
    if not isinstance(permissions, dict):
        raise Malformed("permissions is no object")
    expires = optional_text(row, "expiredAt")
    return KeyInfo(
        account=str(row.get("userID", "")),
        can_trade=(
            row.get("readOnly") in (0, "0")
            and "SpotTrade" in _names(permissions, "Spot")
            and {"Order", "Position"} <= set(_names(permissions, "ContractTrade"))
        ),
        can_withdraw="Withdraw" in _names(permissions, "Wallet"),
        bound_ips=tuple(ip for ip in _names(row, "ips") if ip != "*"),
        expires_at=_expiry(expires) if expires else None,
    )


def parse_rates(result: Row) -> dict[datetime, Decimal]:
    """Return settled funding rates by their instants, fractions of notional."""
    return {stamp(row, "fundingRateTimestamp"): amount(row, "fundingRate") for row in rows(result)}


def pool_is_short(row: Row) -> bool:
    """Return whether an insurance pool is so short that winning positions are closed.

    It is when empty, or when the symbol's losses of 8 hours, a negative share of it, are beyond the
    threshold; it goes on until they are back above the stop ratio. One row does not tell from which
    side it came between the two, so that there counts as short. Source: Bybit V5 market/adlAlert.
    """
    balance, drawdown = amount(row, "balance"), amount(row, "pnlRatio")
    if balance <= ZERO:
        return True
    counts = balance > amount(row, "adlTriggerThreshold")
    return counts and drawdown <= amount(row, "adlStopRatio")


def parse_time(result: Row) -> datetime:
    """Return the venue's own wall time, to the second."""
    return instant(text(result, "timeSecond") + "000")


def parse_bars(result: Row) -> list[Bar]:
    """Return bars as the venue lists them, newest first; those of the mark have no volume."""
    found = result.get("list")
    if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
        raise Malformed("list is no list of arrays")
    return [_bar({"volume": "0", **dict(zip(BAR_FIELDS, row, strict=False))}) for row in found]


def parse_private(message: Row) -> Iterator[OrderReport | ExecutionReport]:
    """Yield what one private message says; other topics and products are passed over."""
    topic, _, form = str(message.get("topic")).partition(".")
    if topic not in PRIVATE_TOPICS or form.startswith("fast"):
        return  # execution.fast says too little to be booked, and comes only to who asks for it
    for row in rows(message, "data"):
        category = category_of(row)
        if category is not None:
            yield parse_order(row, category) if topic == "order" else parse_execution(row, category)


def parse_instrument(row: Row, category: Category) -> Instrument:
    """Return one product's rules. Source: Bybit V5 instruments-info, whose two shapes differ."""
    return _spot(row) if category is Category.SPOT else _linear(row)


def _spot(row: Row) -> Instrument:
    lots, prices = _part(row, "lotSizeFilter"), _part(row, "priceFilter")
    step = amount(lots, "basePrecision")
    return Instrument(
        category=Category.SPOT,
        symbol=text(row, "symbol"),
        base=text(row, "baseCoin"),
        quote=text(row, "quoteCoin"),
        status=text(row, "status"),
        tick=amount(prices, "tickSize"),
        step=step,
        min_quantity=optional_amount(lots, "minOrderQty") or step,
        max_quantity=optional_amount(lots, "maxLimitOrderQty") or amount(lots, "maxOrderQty"),
        min_notional=amount(lots, "minOrderAmt"),
    )


def _linear(row: Row) -> Instrument:
    lots, prices = _part(row, "lotSizeFilter"), _part(row, "priceFilter")
    delivery = optional_text(row, "deliveryTime")
    interval = row.get("fundingInterval")
    if isinstance(interval, bool) or not isinstance(interval, int) or interval <= 0:
        raise Malformed(f"fundingInterval is {interval!r}, not minutes")
    return Instrument(
        category=Category.LINEAR,
        symbol=text(row, "symbol"),
        base=text(row, "baseCoin"),
        quote=text(row, "quoteCoin"),
        status=text(row, "status"),
        tick=amount(prices, "tickSize"),
        step=amount(lots, "qtyStep"),
        min_quantity=amount(lots, "minOrderQty"),
        max_quantity=amount(lots, "maxOrderQty"),
        min_notional=amount(lots, "minNotionalValue"),
        funding_interval_minutes=interval,
        funding_cap=optional_amount(row, "upperFundingRate"),
        delivery_at=None if delivery in ("", "0") else instant(delivery),
    )


def _bar(row: Row) -> Bar:
    o, h, low, c, v = (amount(row, field) for field in BAR_FIELDS[1:])
    return stamp(row, "at"), o, h, low, c, v


def _best(book: Row, side: str) -> tuple[Decimal, Decimal]:
    """Return price and size of the first level."""
    levels = book.get(side)
    if not isinstance(levels, list) or not levels or not isinstance(levels[0], list):
        raise Malformed(f"the book has no {side}")
    level = dict(zip(("price", "size"), levels[0], strict=False))
    return amount(level, "price"), amount(level, "size")


def _names(row: Row, key: str) -> list[str]:
    """Return a list of words; null is empty."""
    found = row.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise Malformed(f"{key} is no list of names")
    return found


def _part(row: Row, key: str) -> Row:
    part = row.get(key)
    if not isinstance(part, dict):
        raise Malformed(f"{key} is no object")
    return part


def _side(row: Row) -> Side:
    try:
        return Side(text(row, "side"))
    except ValueError as error:
        raise Malformed(f"side is {row.get('side')!r}") from error


def _reason(row: Row) -> str:
    reason = optional_text(row, "rejectReason")
    return "" if reason == "EC_NoError" else reason


def _settle_coin(symbol: str, category: Category) -> str:
    """Name the coin of a linear fee where the venue leaves it blank; spot always says it."""
    coin = SETTLE_COINS.get(symbol[-4:])
    if category is Category.SPOT or coin is None:
        raise Malformed(f"the fee of {symbol} has no currency")
    return coin


def _expiry(expires: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(expires)
    except ValueError as error:
        raise Malformed(f"expiredAt is {expires!r}") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return None if at <= EPOCH else at
