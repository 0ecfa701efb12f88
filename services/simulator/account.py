"""Private REST: the account, its settings and its log."""

from typing import Any, Final

from services.simulator.desk import Desk
from services.simulator.query import DAY_MS, Query, newest
from services.simulator.wire import account_row, log_row
from shared.venue.amounts import plain
from shared.venue.exchange import Exchange
from shared.venue.rules import Refused, unknown_symbol

Row = dict[str, Any]

USER_ID: Final = 1
UNIFIED: Final = "UNIFIED"
UNGRANTED: Final = (
    "Wallet", "Options", "CopyTrading", "BlockTrade", "Exchange", "NFT", "Affiliate", "Earn",
    "FiatP2P", "FiatConvertBroker", "FiatGlobalPay", "FiatBitPay", "BitCard", "ByXPost",
)  # fmt: skip


class AccountApi:
    """What the one account of this venue holds and has set."""

    def __init__(self, desk: Desk, api_key: str) -> None:
        self._desk = desk
        self._exchange = desk.exchange
        self._api_key = api_key

    async def account_info(self, _: Query) -> Row:
        """A unified account in cross margin."""
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(self._desk.now_ms),
            "unifiedMarginStatus": 6,
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    async def wallet(self, query: Query) -> Row:
        """The account with its coins; a coin without a balance is left out."""
        if query.required("accountType") != UNIFIED:
            raise Refused(10001, "accountType only support UNIFIED.")
        wanted = query.text("coin").split(",") if query.text("coin") else None
        coins = [
            coin
            for coin, amount in self._exchange.wallet.items()
            if amount and (wanted is None or coin in wanted)
        ]
        return {"list": [account_row(self._exchange, coins)]}

    async def fee_rates(self, query: Query) -> Row:
        """Taker and maker fractions by symbol."""
        category, symbol = query.category(), query.text("symbol")
        if symbol and (category, symbol) not in self._exchange.rules:
            raise unknown_symbol(category, symbol)
        rows = [
            {
                "symbol": rule.symbol,
                "baseCoin": "",
                "takerFeeRate": plain(rule.taker_fee),
                "makerFeeRate": plain(rule.maker_fee),
            }
            for rule in self._exchange.rules.values()
            if rule.category == category and symbol in ("", rule.symbol)
        ]
        return {"category": category, "list": rows}

    async def transaction_log(self, query: Query) -> Row:
        """Bookings, newest first, each with the balance after it."""
        if query.text("accountType", UNIFIED) != UNIFIED:
            raise Refused(10001, "accountType only support UNIFIED.")
        category, coin = query.text("category"), query.text("currency")
        base, kind = query.text("baseCoin"), query.text("type")
        start, end = query.span(self._desk.now_ms, DAY_MS, 181010)
        rows, cursor = newest(
            query,
            self._exchange.log,
            lambda e: (
                start <= e.time_ms <= end
                and category in ("", e.category)
                and coin in ("", e.currency)
                and kind in ("", e.type)
                and (not base or base == self._base(e.category, e.symbol))
            ),
            query.limit(20, 50),
        )
        return {"list": [log_row(e) for e in rows], "nextPageCursor": cursor}

    async def coin_info(self, query: Query) -> Row:
        """The coins traded here; nothing can be deposited or withdrawn, so none has a chain."""
        wanted = query.text("coin")
        coins = ["USDT", *sorted({rule.base for rule in self._exchange.rules.values()})]
        rows = [
            {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
            for coin in coins
            if wanted in ("", coin)
        ]
        return {"rows": rows}

    async def key_info(self, _: Query) -> Row:
        """A key that may trade and not withdraw, bound to this machine."""
        return {
            "id": str(USER_ID),
            "note": "simulator",
            "apiKey": self._api_key,
            "readOnly": 0,
            "secret": "",
            "permissions": {name: [] for name in UNGRANTED}
            | {
                "ContractTrade": ["Order", "Position"],
                "Spot": ["SpotTrade"],
                "Derivatives": ["DerivativesTrade"],
            },
            "ips": ["127.0.0.1"],
            "type": 1,
            "deadlineDay": 365,
            "expiredAt": "1970-01-01T00:00:00Z",
            "createdAt": "1970-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": USER_ID,
            "userIDInt64": str(USER_ID),
            "inviterID": 0,
            "inviterIDInt64": "0",
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "affiliateIDInt64": "0",
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    async def user_settings(self, _: Query) -> Row:
        """``lpaSpot`` true moves a price, ``lpaPerp`` true refuses it: opposite senses."""
        adjusts = self._exchange.adjusts_price
        return {
            "lpaSpot": adjusts["spot"],
            "lpaPerp": not adjusts["linear"],
            "deltaEnable": self._desk.options.delta_mode,
            "smsef": False,
            "fmsef": False,
        }

    async def set_limit_action(self, query: Query) -> Row:
        """Choose whether a price beyond the band is moved or refused."""
        category, moves = query.category(), query.flag("modifyEnable")

        def change(exchange: Exchange) -> None:
            exchange.adjusts_price[category] = moves

        await self._desk.act(change)
        return {}

    async def set_delta_mode(self, query: Query) -> Row:
        """Remember delta neutral mode; nothing is deleveraged here."""
        wanted = query.required("deltaEnable") == "1"

        def change(_: Exchange) -> None:
            self._desk.options.delta_mode = wanted

        await self._desk.act(change)
        return {}

    def _base(self, category: str, symbol: str) -> str:
        rule = self._exchange.rules.get((category, symbol))
        return rule.base if rule is not None else ""
