"""The private paths: who answers, how, and how often per second."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.account import AccountApi
from services.simulator.batches import BatchApi
from services.simulator.borrowing import BorrowingApi
from services.simulator.desk import Desk
from services.simulator.margins import NOT_ENABLED, NOT_ENABLED_READS, MarginApi
from services.simulator.pool import Pressed
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
    desk: Desk, public: PublicApi, api_key: str, sample: Sample, pressed: Pressed = frozenset
) -> Mapping[str, Endpoint]:
    """Return every private endpoint by its path behind /v5/."""
    trading, account = TradingApi(desk, sample, pressed), AccountApi(desk, api_key)
    margin = MarginApi(desk)
    batch = BatchApi(trading)

    async def pre_check(query: Query) -> Row:
        return await margin.pre_check(query, order_request(query))

    async def instruments(query: Query) -> Row:
        own = {"isPublicRpi": False, "myRpiPermission": False}
        limit = str(query.limit(200, 200))
        said = public.instruments(Query({**query.fields, "limit": limit}))
        return said | {"list": [row | own for row in said["list"]]}

    refused = {
        path: Endpoint(method, _refusing(*reason), 5)
        for method, paths in (("POST", NOT_ENABLED), ("GET", NOT_ENABLED_READS))
        for path, reason in paths.items()
    }
    return (
        refused
        | _borrowing(desk)
        | {
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
            "position/symbol-info": Endpoint("GET", trading.leverages, 50),
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
            "account/instruments-info": Endpoint("GET", instruments, 10),
            "account/query-dcp-info": Endpoint("GET", margin.disconnect_info, 5),
            "account/user-setting-config": Endpoint("GET", account.user_settings, 50),
            "account/set-limit-px-action": Endpoint("POST", account.set_limit_action, 5),
            "account/set-delta-mode": Endpoint("POST", account.set_delta_mode, 5),
            "asset/transfer/query-account-coin-balance": Endpoint("GET", margin.coin_balance, 450),
            "asset/coin/query-info": Endpoint("GET", account.coin_info, 5),
            "user/query-api": Endpoint("GET", account.key_info, 10),
        }
    )


def _borrowing(desk: Desk) -> dict[str, Endpoint]:
    """Return the reads of what this venue has none of: loans, and combinations."""
    api = BorrowingApi(desk)
    reads: Mapping[str, Answer] = {
        "account/borrow-history": api.history,
        "order/spot-borrow-check": api.spot_check,
        "spot-margin-trade/state": api.state,
        "spot-margin-trade/max-borrowable": api.max_borrowable,
        "spot-margin-trade/interest-rate-history": api.none,
        "spot-margin-trade/position-tiers": api.none,
        "spot-margin-trade/coinstate": api.none,
        "spot-margin-trade/currency-data": api.currencies,
        "spot-margin-trade/flexible-available-inventory": api.inventory,
        "spot-margin-trade/repayment-available-amount": api.repayable,
        "spot-margin-trade/get-auto-repay-mode": api.repay_mode,
        "spread/order/realtime": api.history,
        "spread/order/history": api.history,
        "spread/execution/list": api.history,
    }
    return {path: Endpoint("GET", answer, 50) for path, answer in reads.items()} | {
        "spot-margin-trade/liability": Endpoint("GET", api.liability, 5)
    }


def _refusing(code: int, message: str) -> Answer:
    async def refuse(_: Query) -> Row:
        raise Refused(code, message)

    return refuse
