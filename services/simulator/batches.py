"""Several orders in one request: each item by itself, never all or nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from services.simulator.query import Query
from services.simulator.trading import TradingApi
from shared.venue.rules import Refused

Row = dict[str, Any]

ITEMS_MAX: Final = {"linear": 20, "spot": 10}
TOO_MANY: Final = (10006, "Too many visits. Exceeded the API Rate Limit.")


class BatchApi:
    """The outer code is always 0: what became of an item stands at its place in ``retExtInfo``.

    Items beyond the rate limit fail, the rest stand. Source: Bybit V5 reference 5.1 and 12.
    """

    def __init__(self, trading: TradingApi) -> None:
        self._trading = trading

    async def create(self, query: Query) -> tuple[Row, Row]:
        """Accept orders one after another."""
        return await self._each(query, self._trading.create, with_time=True)

    async def amend(self, query: Query) -> tuple[Row, Row]:
        """Change resting orders one after another."""
        return await self._each(query, self._trading.amend)

    async def cancel(self, query: Query) -> tuple[Row, Row]:
        """Cancel resting orders one after another."""
        return await self._each(query, self._trading.cancel)

    async def _each(
        self,
        query: Query,
        act: Callable[[Query], Awaitable[Row]],
        *,
        with_time: bool = False,
    ) -> tuple[Row, Row]:
        category = query.category()
        rows: list[Row] = []
        outcomes: list[Row] = []
        for place, item in enumerate(query.items(ITEMS_MAX[category])):
            code, message = TOO_MANY if place >= query.admitted else (0, "OK")
            ids: Row = {"orderId": "", "orderLinkId": item.text("orderLinkId")}
            created = ""
            if not code:
                try:
                    ids = await act(item)
                    created = str(self._trading.now_ms)
                except Refused as refusal:
                    code, message = refusal.code, refusal.message
            row = {"category": category, "symbol": item.text("symbol"), **ids}
            rows.append(row | ({"createAt": created} if with_time else {}))
            outcomes.append({"code": code, "msg": message})
        return {"list": rows}, {"list": outcomes}
