"""Private REST of a venue that lends nothing: what could be owed, lent or borrowed is zero."""

from typing import Any

from services.simulator.desk import Desk
from services.simulator.query import Query
from shared.venue.amounts import ZERO, floor_to, plain, quotient
from shared.venue.rules import Refused, unknown_symbol

Row = dict[str, Any]


class BorrowingApi:
    """Reads of spot margin, which is off. Shapes: the venue's documentation, spot-margin-uta."""

    def __init__(self, desk: Desk) -> None:
        self._exchange = desk.exchange
        self._desk = desk

    async def history(self, _: Query) -> Row:
        """Nothing was ever borrowed."""
        return {"list": [], "nextPageCursor": ""}

    async def none(self, _: Query) -> Row:
        """No coin has rates, tiers or leverage of its own."""
        return {"list": []}

    async def state(self, _: Query) -> Row:
        """Spot margin is off."""
        return {"spotLeverage": "", "spotMarginMode": "0", "effectiveLeverage": ""}

    async def max_borrowable(self, query: Query) -> Row:
        """Nothing can be borrowed."""
        return {"currency": query.required("currency"), "maxLoan": "0"}

    async def inventory(self, query: Query) -> Row:
        """The pool is empty."""
        now = str(self._desk.now_ms)
        return {
            "currency": query.required("currency"),
            "availableInventory": "0",
            "updateTime": now,
        }

    async def liability(self, query: Query) -> Row:
        """The liability of any coin is zero."""
        amounts = (
            "totalBorrowAmount", "fixedBorrowAmount", "flexibleBorrowAmount", "spotTotalBorrow",
            "derivativesBorrow",
        )  # fmt: skip
        return {"currency": query.required("currency")} | dict.fromkeys(amounts, "0")

    async def repayable(self, query: Query) -> Row:
        """There is nothing to repay."""
        return {"currency": query.required("currency"), "lossLessRepaymentAmount": "0"}

    async def repay_mode(self, query: Query) -> Row:
        """Nothing is repaid by itself."""
        coin = query.text("currency")
        return {"data": [{"currency": coin, "autoRepayMode": "0"}] if coin else []}

    async def currencies(self, query: Query) -> Row:
        """No coin can be borrowed by hand."""
        wanted = query.text("currency")
        blank = (
            "minFlexibleManualBorrowQty", "flexibleManualBorrowAccuracy", "minFixedManualBorrowQty",
            "fixedManualBorrowAccuracy", "fixedInterestRateAccuracy", "minFixedInterestRate",
            "maxFixedInterestRate",
        )  # fmt: skip
        no = {"flexibleManualBorrowable": False, "fixedManualBorrowable": False}
        rows = [
            {"currency": coin} | no | dict.fromkeys(blank, "")
            for coin in self._exchange.coins
            if wanted in ("", coin)
        ]
        return {"list": rows}

    async def spot_check(self, query: Query) -> Row:
        """How much the account can buy or sell of a spot product: what it has, and no loan."""
        symbol, side = query.required("symbol"), query.required("side")
        rule = self._exchange.rules.get(("spot", symbol))
        if rule is None:
            raise unknown_symbol("spot", symbol)
        bids, asks = self._exchange.book("spot", symbol)
        price, _ = next(iter(asks if side == "Buy" else bids), (ZERO, ZERO))
        if side not in ("Buy", "Sell"):
            raise Refused(10001, "Side invalid")
        coin = rule.quote if side == "Buy" else rule.base
        free = max(ZERO, self._exchange.wallet.get(coin, ZERO) - self._exchange.locked(coin))
        bought = floor_to(quotient(free, price), rule.step) if price else ZERO
        qty = bought if side == "Buy" else floor_to(free, rule.step)
        amount = plain(free if side == "Buy" else free * price)
        return {
            "symbol": symbol,
            "side": side,
            "maxTradeQty": plain(qty),
            "maxTradeAmount": amount,
            "spotMaxTradeQty": plain(qty),
            "spotMaxTradeAmount": amount,
            "borrowCoin": coin,
        }
