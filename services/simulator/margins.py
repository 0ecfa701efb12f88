"""Private REST: collateral, margin mode, borrowing and spreads, as far as this venue has them."""

from typing import Any, Final

from services.simulator.desk import Desk
from services.simulator.query import Query
from shared.venue.amounts import ZERO, plain
from shared.venue.exchange import Exchange
from shared.venue.margin import FLAT, SETTLE_COIN
from shared.venue.rules import Refused

Row = dict[str, Any]

ALWAYS_COLLATERAL: Final = ("USDT", "USDC")
CROSS: Final = "REGULAR_MARGIN"
OTHER_MODES: Final = {
    "ISOLATED_MARGIN": "Isolated margin is not offered here",
    "PORTFOLIO_MARGIN": "Equity needs to be equal to or greater than 1000 USDC",
}

NO_MARGIN: Final = (176008, "Margin trading is not enabled.")
NO_SPREAD: Final = (10029, "The requested symbol is not whitelisted.")
NO_PERMISSION: Final = (10005, "Permission denied, please check your API key permissions.")
ISOLATED_ONLY: Final = (110076, "Only isolated mode can be used.")

NOT_ENABLED: Final = {
    "spot-margin-trade/switch-mode": (176002, "You have not completed the margin quiz."),
    "spot-margin-trade/set-leverage": NO_MARGIN,
    "spot-margin-trade/set-auto-repay-mode": NO_MARGIN,
    "spot-margin-trade/fixedborrow": NO_MARGIN,
    "account/borrow": NO_MARGIN,
    "account/repay": NO_MARGIN,
    "account/no-convert-repay": NO_MARGIN,
    "account/quick-repayment": NO_MARGIN,
    "spread/order/create": NO_SPREAD,
    "spread/order/amend": NO_SPREAD,
    "spread/order/cancel": NO_SPREAD,
    "spread/order/cancel-all": NO_SPREAD,
    "position/add-margin": ISOLATED_ONLY,
    "position/set-auto-add-margin": ISOLATED_ONLY,
    "position/trading-stop": (10001, "params error: trading stops are not offered here"),
    "position/move-positions": NO_PERMISSION,
    "asset/transfer/inter-transfer": NO_PERMISSION,
    "order/disconnected-cancel-all": (10005, "Permission denied: institutional clients only."),
    "account/set-hedging-mode": (140001, "Spot hedging needs portfolio margin."),
}
"""What is refused whole, by path: nothing can be borrowed here, and no combinations are listed."""
NOT_ENABLED_READS: Final = {
    "spread/max-qty": NO_SPREAD,
    "asset/portfolio-margin": (110077, "Portfolio margin mode is not supported."),
}


class MarginApi:
    """What backs the account, and what its owner has set of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._exchange = desk.exchange

    async def collateral(self, query: Query) -> Row:
        """Every coin of the account with its switch; nothing can be borrowed."""
        wanted = query.text("currency")
        rows = [self._coin(coin) for coin in self._exchange.coins if wanted in ("", coin)]
        return {"list": rows}

    async def set_collateral(self, query: Query) -> Row:
        """Switch one coin on or off."""
        await self._switch([query])
        return {}

    async def set_collateral_batch(self, query: Query) -> Row:
        """Switch several coins, all or none."""
        given = query.fields.get("request")
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise Refused(10001, "params error: request is no list of objects")
        items = [Query(item) for item in given]
        await self._switch(items)
        return {
            "list": [
                {"coin": item.text("coin"), "collateralSwitch": item.text("collateralSwitch")}
                for item in items
            ]
        }

    async def set_margin_mode(self, query: Query) -> Row:
        """Stay in cross margin, the only mode of this venue."""
        mode = query.required("setMarginMode")
        if mode not in (CROSS, *OTHER_MODES):
            raise Refused(10001, "params error: setMarginMode is invalid")
        if mode != CROSS:
            reason = {"reasonCode": "3400000", "reasonMsg": OTHER_MODES[mode]}
            raise Refused(3400045, "Set margin mode failed", {"reasons": [reason]})
        return {"reasons": []}

    async def transferable(self, query: Query) -> Row:
        """What could be taken out of each coin."""
        coins = query.required("coinName").split(",")
        amounts = {
            coin: plain(max(0, self._exchange.wallet.get(coin, 0) - self._exchange.locked(coin)))  # type: ignore[arg-type]
            for coin in coins
        }
        return {
            "availableWithdrawal": amounts[coins[0]],
            "availableWithdrawalMap": amounts,
        }

    async def coin_balance(self, query: Query) -> Row:
        """One coin of one account; beside the unified account all are empty."""
        account, coin = query.required("accountType"), query.required("coin")
        held = self._exchange.wallet.get(coin, ZERO) if account == "UNIFIED" else ZERO
        free = max(ZERO, held - self._exchange.locked(coin)) if held else ZERO
        return {
            "accountType": account,
            "bizType": 1,
            "accountId": "1",
            "memberId": "1",
            "balance": {
                "coin": coin,
                "walletBalance": plain(held),
                "transferBalance": plain(free),
                "bonus": "",
            },
        }

    async def disconnect_info(self, _: Query) -> Row:
        """Cancel-on-disconnect is for institutions."""
        return {"dcpInfos": []}

    async def pre_check(self, query: Query, request: Any) -> Row:
        """The margin rates before and after an order that would be taken, in ten-thousandths."""
        rule = self._exchange.check(request)
        before = self._exchange.margin()
        worth = request.qty * (request.price or self._exchange.marks.get(request.symbol, 0))
        leverage = self._exchange.positions.get(request.symbol)
        initial = worth / (leverage.leverage if leverage else rule.max_leverage)
        added = 0 if rule.category == "spot" or request.reduce_only else initial
        maintained = 0 if not added else worth * rule.maintenance_rate
        return {
            "orderId": "",
            "orderLinkId": query.text("orderLinkId"),
            "preImrE4": _share(before.initial, before.balance),
            "preMmrE4": _share(before.maintenance, before.balance),
            "postImrE4": _share(before.initial + added, before.balance),
            "postMmrE4": _share(before.maintenance + maintained, before.balance),
        }

    async def _switch(self, items: list[Query]) -> None:
        changes = {}
        for item in items:
            coin, switch = item.required("coin"), item.required("collateralSwitch")
            if coin in ALWAYS_COLLATERAL or coin not in self._exchange.coins:
                raise Refused(10001, f"params error: {coin} cannot be switched")
            if switch not in ("ON", "OFF"):
                raise Refused(10001, "params error: collateralSwitch must be ON or OFF")
            changes[coin] = switch

        def change(exchange: Exchange) -> None:
            for coin, switch in changes.items():
                (
                    exchange.collateral.off.add
                    if switch == "OFF"
                    else exchange.collateral.off.discard
                )(coin)

        await self._desk.act(change)

    def _coin(self, coin: str) -> Row:
        first = self._exchange.collateral.tiers.get(coin, FLAT)[0].ratio
        return {
            "currency": coin,
            "hourlyBorrowRate": "0",
            "maxBorrowingAmount": "0",
            "freeBorrowingLimit": "0",
            "freeBorrowAmount": "0",
            "freeBorrowingAmount": "",
            "borrowAmount": "0",
            "otherBorrowAmount": "0",
            "availableToBorrow": "0",
            "borrowUsageRate": "0",
            "borrowable": False,
            "marginCollateral": True,
            "collateralSwitch": coin not in self._exchange.collateral.off,
            "collateralRatio": "1" if coin == SETTLE_COIN else plain(first),
        }


def _share(part: Any, whole: Any) -> int:
    return int(part * 10_000 / whole) if whole > 0 else 0
