"""The account as the venue writes it: rows of REST answers and of private messages.

Amounts are decimal strings, instants are venue milliseconds as strings; ``""`` is "not applicable".
"""

from collections.abc import Container, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from shared.venue.amounts import ROUNDED, ZERO, exact, plain, quotient
from shared.venue.closed import ClosedPnl
from shared.venue.exchange import Exchange
from shared.venue.margin import SETTLE_COIN, initial_margin, maintenance_margin
from shared.venue.records import Execution, LogEntry, Order, Position

Row = dict[str, Any]

RATE_PLACES: Final = Decimal("0.0001")


@exact
def order_row(order: Order) -> Row:
    """Return one order, as order/realtime and the topic ``order`` show it."""
    average, price = order.average_price, order.price
    return {
        "category": order.category,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "symbol": order.symbol,
        "price": plain(price or ZERO),
        "qty": plain(order.qty),
        "side": order.side,
        "isLeverage": "0" if order.category == "spot" else "",
        "positionIdx": 0,
        "orderStatus": order.status,
        "createType": order.create_type if order.category == "linear" else "",
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": plain(average) if average is not None else "",
        "leavesQty": plain(order.leaves_qty),
        "leavesValue": plain(order.leaves_qty * (price or ZERO)),
        "cumExecQty": plain(order.filled_qty),
        "cumExecValue": plain(order.filled_value),
        "cumExecFee": plain(sum(order.fees.values(), ZERO)),
        "cumFeeDetail": {coin: plain(fee) for coin, fee in order.fees.items()},
        "timeInForce": order.time_in_force,
        "orderType": order.order_type,
        "marketUnit": order.market_unit if order.order_type == "Market" else "",
        "stopOrderType": "",
        "orderIv": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "lastPriceOnCreated": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "tpslMode": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "placeType": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution_row(execution: Execution) -> Row:
    """Return one fill or settlement, as execution/list and the topic ``execution`` show it."""
    e = execution
    return {
        "category": e.category,
        "symbol": e.symbol,
        "execId": e.exec_id,
        "orderId": e.order_id,
        "orderLinkId": e.link_id,
        "side": e.side,
        "orderType": e.order_type,
        "orderPrice": plain(e.order_price),
        "orderQty": plain(e.order_qty),
        "leavesQty": plain(e.leaves_qty),
        "execPrice": plain(e.price),
        "execQty": plain(e.qty),
        "execValue": plain(e.value),
        "execFee": plain(e.fee),
        "feeCurrency": e.fee_currency,
        "feeRate": plain(e.fee_rate),
        "execType": e.exec_type,
        "execPnl": plain(e.realised_pnl),
        "execTime": str(e.time_ms),
        "isMaker": e.is_maker,
        "isLeverage": "0" if e.category == "spot" else "",
        "closedSize": plain(e.closed_size) if e.category == "linear" else "",
        "markPrice": plain(e.mark_price) if e.category == "linear" else "",
        "stopOrderType": "" if e.category == "spot" else "UNKNOWN",
        "createType": e.create_type,
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "marketUnit": "",
        "extraFees": "",
        "seq": e.seq,
    }


def fast_row(execution: Execution) -> Row:
    """Return one fill as ``execution.fast`` shows it; a maker's link id is left out."""
    e = execution
    return {
        "category": e.category,
        "symbol": e.symbol,
        "execId": e.exec_id,
        "execPrice": plain(e.price),
        "execQty": plain(e.qty),
        "orderId": e.order_id,
        "isMaker": e.is_maker,
        "orderLinkId": "" if e.is_maker else e.link_id,
        "side": e.side,
        "execTime": str(e.time_ms),
        "seq": e.seq,
    }


@exact
def position_row(
    position: Position, exchange: Exchange, pressed: Container[str] = frozenset()
) -> Row:
    """Return one perpetual position as position/list shows it; flat ones have no side.

    What is held of a symbol in ``pressed`` is next to be deleveraged.
    """
    mark = exchange.marks.get(position.symbol, ZERO)
    worth = abs(position.size) * mark
    rule = exchange.rules["linear", position.symbol]
    margin = plain(initial_margin(worth, position.leverage))
    maintenance = plain(maintenance_margin(rule, worth))
    realised = plain(position.realised_pnl)
    return {
        "category": "linear",
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": "",
        "symbol": position.symbol,
        "side": position.side,
        "size": plain(abs(position.size)),
        "avgPrice": plain(position.entry_price),
        "positionValue": plain(position.entry_value),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 5 if position.size and position.symbol in pressed else 0,
        "leverage": plain(position.leverage),
        "breakEvenPrice": "",
        "positionBalance": "0",
        "markPrice": plain(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": margin,
        "positionIMByMp": margin,
        "positionMM": maintenance,
        "positionMMByMp": maintenance,
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(position.unrealised_pnl(mark)) if position.size else "0",
        "curRealisedPnl": realised,
        "cumRealisedPnl": realised,
        "sessionAvgPrice": "",
        "seq": position.seq,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "mmrSysUpdateTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
    }


def closed_row(row: ClosedPnl, leverage: Decimal) -> Row:
    """Return one row of position/closed-pnl; ``side`` is that of the order that closed."""
    e = row.last
    return {
        "symbol": e.symbol,
        "orderId": e.order_id,
        "side": e.side,
        "qty": plain(e.order_qty),
        "orderPrice": plain(e.order_price),
        "orderType": e.order_type,
        "execType": e.exec_type,
        "closedSize": plain(row.closed),
        "cumEntryValue": plain(row.entry_value),
        "avgEntryPrice": plain(quotient(row.entry_value, row.closed)),
        "cumExitValue": plain(row.exit_value),
        "avgExitPrice": plain(quotient(row.exit_value, row.closed)),
        "closedPnl": plain(row.pnl),
        "fillCount": str(row.fills),
        "leverage": plain(leverage),
        "createdTime": str(row.created_ms),
        "updatedTime": str(e.time_ms),
    }


def position_message(
    position: Position, exchange: Exchange, pressed: Container[str] = frozenset()
) -> Row:
    """Return a position as its topic shows it, where the average is called entryPrice."""
    row = position_row(position, exchange, pressed)
    return {**row, "entryPrice": row["avgPrice"]}


@exact
def account_row(exchange: Exchange, coins: Iterable[str]) -> Row:
    """Return the account with the named coins, as wallet-balance and ``wallet`` show it."""
    margin, prices = exchange.margin(), exchange.coin_prices()
    unrealised = sum(
        (p.unrealised_pnl(exchange.marks[p.symbol]) for p in exchange.positions.values() if p.size),
        ZERO,
    )
    worth = {c: a * _price(c, prices) for c, a in exchange.wallet.items()}
    total = sum(worth.values(), ZERO)
    return {
        "accountType": "UNIFIED",
        "totalEquity": plain(total + unrealised),
        "totalWalletBalance": plain(total),
        "totalMarginBalance": plain(margin.balance),
        "totalAvailableBalance": plain(margin.available),
        "totalPerpUPL": plain(unrealised),
        "totalInitialMargin": plain(margin.initial),
        "totalInitialMarginByMp": plain(margin.initial),
        "totalMaintenanceMargin": plain(margin.maintenance),
        "totalMaintenanceMarginByMp": plain(margin.maintenance),
        "accountIMRate": _share(margin.initial, margin.balance),
        "accountIMRateByMp": _share(margin.initial, margin.balance),
        "accountMMRate": _share(margin.maintenance, margin.balance),
        "accountMMRateByMp": _share(margin.maintenance, margin.balance),
        "accountLTV": "0",
        "coin": [_coin_row(exchange, coin, worth.get(coin, ZERO), unrealised) for coin in coins],
    }


def log_row(entry: LogEntry) -> Row:
    """Return one row of account/transaction-log; ``funding`` positive is received."""
    return {
        "id": entry.id,
        "type": entry.type,
        "transSubType": "",
        "category": entry.category,
        "symbol": entry.symbol,
        "side": entry.side or "None",
        "transactionTime": str(entry.time_ms),
        "currency": entry.currency,
        "qty": plain(entry.qty),
        "size": plain(entry.size),
        "tradePrice": plain(entry.trade_price) if entry.symbol else "",
        "funding": plain(entry.funding) if entry.type == "SETTLEMENT" else "",
        "fee": plain(entry.fee),
        "cashFlow": plain(entry.cash_flow),
        "change": plain(entry.change),
        "cashBalance": plain(entry.cash_balance),
        "feeRate": plain(entry.fee_rate),
        "bonusChange": "",
        "tradeId": entry.trade_id,
        "orderId": entry.order_id,
        "orderLinkId": entry.link_id,
        "extraFees": "",
    }


def _coin_row(exchange: Exchange, coin: str, worth: Decimal, unrealised: Decimal) -> Row:
    balance = exchange.wallet.get(coin, ZERO)
    settles = coin == SETTLE_COIN
    gains = unrealised if settles else ZERO
    realised = sum((p.realised_pnl for p in exchange.positions.values()), ZERO) if settles else ZERO
    margin = exchange.margin() if settles else None
    return {
        "coin": coin,
        "equity": plain(balance + gains),
        "walletBalance": plain(balance),
        "usdValue": plain(worth + gains),
        "locked": plain(exchange.locked(coin)),
        "unrealisedPnl": plain(gains),
        "cumRealisedPnl": plain(realised),
        "totalOrderIM": "0",
        "totalPositionIM": plain(margin.initial) if margin else "0",
        "totalPositionMM": plain(margin.maintenance) if margin else "0",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "accruedInterest": "0",
        "bonus": "0",
        "spotHedgingQty": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "marginCollateral": True,
        "collateralSwitch": coin not in exchange.collateral.off,
        "colRes": "0",
    }


def _price(coin: str, prices: Mapping[str, Decimal]) -> Decimal:
    return Decimal(1) if coin == SETTLE_COIN else prices.get(coin, ZERO)


def _share(part: Decimal, whole: Decimal) -> str:
    if whole <= ZERO:
        return "0"
    return plain(ROUNDED.quantize(ROUNDED.divide(part, whole), RATE_PLACES))
