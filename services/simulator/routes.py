"""The private paths: who answers, how, and how often per second."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.account import AccountApi
from services.simulator.batches import BatchApi
from services.simulator.desk import Desk
from services.simulator.margins import NOT_ENABLED, MarginApi
from services.simulator.public import PublicApi
from services.simulator.query import Query
from services.simulator.trading import Sample, TradingApi, order_request
from shared.venue.rules import Refused

Row = dict[str, Any]
Answer = Callable[[Query], Awaitable[Row | tuple[Row, Row]]]
"""Returns the result, or the result with what goes into ``retExtInfo``."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One private path; ``limit`` requests per second, and ``spot`` a budget apart for spot.

    Of a batch each order counts.
    """

    method: str
    answer: Answer
    limit: int
    spot: int | None = None
    batch: bool = False


def private_routes(
    desk: Desk, public: PublicApi, api_key: str, sample: Sample
) -> Mapping[str, Endpoint]:
    """Return every private endpoint by its path behind /v5/."""
    trading, account, margin = TradingApi(desk, sample), AccountApi(desk, api_key), MarginApi(desk)
    batch = BatchApi(trading)

    async def pre_check(query: Query) -> Row:
        return await margin.pre_check(query, order_request(query))

    async def instruments(query: Query) -> Row:
        query.limit(200, 200)
        own = {"isPublicRpi": False, "myRpiPermission": False}
        said = public.instruments(query)
        return said | {"list": [row | own for row in said["list"]]}

    refused = {
        path: Endpoint("POST", _refusing(*reason), 5) for path, reason in NOT_ENABLED.items()
    }
    return refused | {
        "order/create": Endpoint("POST", trading.create, 10, 20),
        "order/amend": Endpoint("POST", trading.amend, 10, 10),
        "order/cancel": Endpoint("POST", trading.cancel, 10, 20),
        "order/cancel-all": Endpoint("POST", trading.cancel_all, 10, 20),
        "order/create-batch": Endpoint("POST", batch.create, 10, 20, batch=True),
        "order/amend-batch": Endpoint("POST", batch.amend, 10, 20, batch=True),
        "order/cancel-batch": Endpoint("POST", batch.cancel, 10, 20, batch=True),
        "order/pre-check": Endpoint("POST", pre_check, 10, 20),
        "order/realtime": Endpoint("GET", trading.realtime, 50),
        "order/history": Endpoint("GET", trading.history, 50),
        "execution/list": Endpoint("GET", trading.executions, 50),
        "position/list": Endpoint("GET", trading.positions, 50),
        "position/closed-pnl": Endpoint("GET", trading.closed_pnl, 50),
        "position/set-leverage": Endpoint("POST", trading.set_leverage, 10),
        "position/switch-mode": Endpoint("POST", trading.switch_mode, 10),
        "account/info": Endpoint("GET", account.account_info, 50),
        "account/wallet-balance": Endpoint("GET", account.wallet, 50),
        "account/fee-rate": Endpoint("GET", account.fee_rates, 5),
        "account/transaction-log": Endpoint("GET", account.transaction_log, 25),
        "account/collateral-info": Endpoint("GET", margin.collateral, 50),
        "account/set-collateral-switch": Endpoint("POST", margin.set_collateral, 5),
        "account/set-collateral-switch-batch": Endpoint("POST", margin.set_collateral_batch, 5),
        "account/set-margin-mode": Endpoint("POST", margin.set_margin_mode, 5),
        "account/withdrawal": Endpoint("GET", margin.transferable, 50),
        "account/borrow-history": Endpoint("GET", margin.borrow_history, 50),
        "account/instruments-info": Endpoint("GET", instruments, 10),
        "account/query-dcp-info": Endpoint("GET", margin.disconnect_info, 5),
        "account/user-setting-config": Endpoint("GET", account.user_settings, 50),
        "account/set-limit-px-action": Endpoint("POST", account.set_limit_action, 5),
        "account/set-delta-mode": Endpoint("POST", account.set_delta_mode, 5),
        "spot-margin-trade/state": Endpoint("GET", margin.margin_state, 50),
        "spot-margin-trade/max-borrowable": Endpoint("GET", margin.max_borrowable, 50),
        "asset/coin/query-info": Endpoint("GET", account.coin_info, 5),
        "user/query-api": Endpoint("GET", account.key_info, 10),
    }


def _refusing(code: int, message: str) -> Answer:
    async def refuse(_: Query) -> Row:
        raise Refused(code, message)

    return refuse
