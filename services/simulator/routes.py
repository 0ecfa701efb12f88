"""The private paths: who answers, how, and how often per second."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.account import AccountApi
from services.simulator.query import Query
from services.simulator.trading import TradingApi

Answer = Callable[[Query], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One private path; ``limit`` requests per second, and ``spot`` a budget apart for spot."""

    method: str
    answer: Answer
    limit: int
    spot: int | None = None


def private_routes(trading: TradingApi, account: AccountApi) -> Mapping[str, Endpoint]:
    """Return every private endpoint by its path behind /v5/."""
    return {
        "order/create": Endpoint("POST", trading.create, 10, 20),
        "order/amend": Endpoint("POST", trading.amend, 10, 10),
        "order/cancel": Endpoint("POST", trading.cancel, 10, 20),
        "order/cancel-all": Endpoint("POST", trading.cancel_all, 10, 20),
        "order/realtime": Endpoint("GET", trading.realtime, 50),
        "order/history": Endpoint("GET", trading.history, 50),
        "execution/list": Endpoint("GET", trading.executions, 50),
        "position/list": Endpoint("GET", trading.positions, 50),
        "position/set-leverage": Endpoint("POST", trading.set_leverage, 10),
        "position/switch-mode": Endpoint("POST", trading.switch_mode, 10),
        "account/info": Endpoint("GET", account.account_info, 50),
        "account/wallet-balance": Endpoint("GET", account.wallet, 50),
        "account/fee-rate": Endpoint("GET", account.fee_rates, 5),
        "account/transaction-log": Endpoint("GET", account.transaction_log, 25),
        "account/collateral-info": Endpoint("GET", account.collateral, 50),
        "account/user-setting-config": Endpoint("GET", account.user_settings, 50),
        "account/set-limit-px-action": Endpoint("POST", account.set_limit_action, 5),
        "account/set-delta-mode": Endpoint("POST", account.set_delta_mode, 5),
        "asset/coin/query-info": Endpoint("GET", account.coin_info, 5),
        "user/query-api": Endpoint("GET", account.key_info, 10),
    }
