"""What a start-up check refuses, and the reads of an account."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.instrument import Category
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.parse import instant, milliseconds
from shared.exchange.bybit.rest import Credentials
from shared.runtime.clock import SystemClock
from tests.shared.exchange.test_bybit_parse import EXECUTION, KEY, ORDER
from tests.support.scripted_venue import Asked, ScriptedVenue, envelope

QUERY_API = "/v5/user/query-api"
CONFIG = "/v5/account/user-setting-config"
COLLATERAL = {"currency": "BTC", "marginCollateral": True, "collateralSwitch": True}
POSITION = {"symbol": "BTCUSDT", "positionIdx": 0, "leverage": "10"}
REJECTING = {"lpaSpot": False, "lpaPerp": True}


def serve_account(venue: ScriptedVenue) -> None:
    venue.on(QUERY_API, KEY)
    venue.on("/v5/account/info", {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6})
    venue.on("/v5/account/collateral-info", {"list": [COLLATERAL]})
    venue.on("/v5/position/list", {"list": [{**POSITION, "leverage": "2"}]})
    venue.on(CONFIG, REJECTING)


async def test_a_sound_account_is_accepted_without_changing_it(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    serve_account(venue)
    key = await gateway.check_account(["BTCUSDT"], ["BTC"])
    assert key.account == "1448939"
    assert {asked.method for asked in venue.asked} == {"GET"}


@pytest.mark.parametrize(
    ("path", "result", "named"),
    [
        (QUERY_API, {**KEY, "readOnly": 1}, "may not trade"),
        (QUERY_API, {**KEY, "uta": 0}, "unified"),
        (
            QUERY_API,
            {**KEY, "permissions": {**KEY["permissions"], "Wallet": ["Withdraw"]}},
            "withdraw",
        ),
        ("/v5/account/info", {"marginMode": "ISOLATED_MARGIN"}, "cross"),
        ("/v5/position/list", {"list": [{**POSITION, "positionIdx": 1}]}, "one-way"),
        ("/v5/position/list", {"list": [{**POSITION, "leverage": "1.99"}]}, "to 2 or more"),
        (
            "/v5/account/collateral-info",
            {"list": [{**COLLATERAL, "collateralSwitch": False}]},
            "BTC is switched off as collateral",
        ),
    ],
)
async def test_an_account_that_would_hurt_is_refused_with_the_remedy(
    venue: ScriptedVenue, gateway: BybitGateway, path: str, result: dict[str, Any], named: str
) -> None:
    serve_account(venue)
    venue.on(path, result)
    with pytest.raises(Misconfigured, match=named):
        await gateway.check_account(["BTCUSDT"], ["BTC"])


async def test_only_what_backs_a_short_and_what_the_venue_would_take_must_be_collateral(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    serve_account(venue)
    off = {"marginCollateral": True, "collateralSwitch": False}
    untaken = {**COLLATERAL, "marginCollateral": False, "collateralSwitch": False}
    venue.on("/v5/account/collateral-info", {"list": [untaken, {**off, "currency": "SHIB"}]})
    assert (await gateway.check_account(["BTCUSDT"], ["BTC"])).account == "1448939"


async def test_a_live_key_must_be_bound_to_an_address(venue: ScriptedVenue) -> None:
    serve_account(venue)
    venue.on(QUERY_API, {**KEY, "ips": ["*"]})
    gateway = BybitGateway(
        Endpoints(venue.rest, venue.stream),
        Credentials("k", "s"),
        venue="live",
        clock=SystemClock(),
        draw=lambda: 0.0,
    )
    with pytest.raises(Misconfigured, match="bound to no address"):
        await gateway.check_account(["BTCUSDT"], ["BTC"])
    await gateway.close()


async def test_prices_outside_the_limit_are_made_to_be_rejected(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    serve_account(venue)
    config = {"spot": True, "linear": True}  # adjusts, as the venue does by default

    def switch(asked: Asked) -> dict[str, Any]:
        config[asked.fields["category"]] = asked.fields["modifyEnable"]
        return envelope({})

    venue.answers["/v5/account/set-limit-px-action"] = switch
    venue.answers[CONFIG] = lambda _: envelope(
        {"lpaSpot": config["spot"], "lpaPerp": not config["linear"]}
    )
    await gateway.check_account(["BTCUSDT"], ["BTC"])
    assert config == {"spot": False, "linear": False}


async def test_an_account_that_keeps_moving_prices_is_refused(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    serve_account(venue)
    venue.on("/v5/account/set-limit-px-action", {})
    venue.on(CONFIG, {"lpaSpot": True, "lpaPerp": False})
    with pytest.raises(Misconfigured, match="limit-price action"):
        await gateway.check_account(["BTCUSDT"], ["BTC"])


async def test_an_order_missing_from_the_open_list_is_looked_up_in_the_history(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on("/v5/order/realtime", {"list": [{**ORDER, "orderLinkId": "another"}]})
    venue.on("/v5/order/history", {"list": [ORDER]})
    report = await gateway.read_order(Category.LINEAR, "ETHUSDT", "r1-abc")
    assert report is not None
    assert report.order_id == "fd4300ae"
    assert await gateway.read_order(Category.LINEAR, "ETHUSDT", "r1-xyz") is None


async def test_executions_come_oldest_first_and_once(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    start = instant(EXECUTION["execTime"]) - timedelta(days=1)  # type: ignore[arg-type]
    newest = {**EXECUTION, "execId": "b", "execTime": str(int(str(EXECUTION["execTime"])) + 5)}
    pages = {"": ([newest, EXECUTION], "n"), "n": ([EXECUTION], "")}

    def page(asked: Asked) -> dict[str, Any]:
        found, cursor = pages[asked.fields.get("cursor", "")]
        return envelope({"list": found, "nextPageCursor": cursor})

    venue.answers["/v5/execution/list"] = page
    venue.on("/v5/market/orderbook", {"ts": milliseconds(start + timedelta(days=2))})
    reports = await gateway.read_executions(Category.LINEAR, start=start)
    assert [report.fill.exec_id for report in reports] == ["0ab1bdf7", "b"]


async def test_executions_of_one_order_are_asked_for_by_its_id_alone(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    venue.on("/v5/execution/list", {"list": [], "nextPageCursor": ""})
    assert await gateway.read_executions(Category.SPOT, link_id="r1-abc") == []
    assert venue.asked[0].fields == {"category": "spot", "limit": "100", "orderLinkId": "r1-abc"}


async def test_flat_positions_are_left_out(venue: ScriptedVenue, gateway: BybitGateway) -> None:
    rows = [
        {"symbol": "ETHUSDT", "side": "", "size": "0", "positionIdx": 0},
        {
            "symbol": "BTCUSDT",
            "side": "Sell",
            "size": "0.25",
            "avgPrice": "37000",
            "positionIdx": 0,
            "adlRankIndicator": 4,
        },
        {"symbol": "XRPUSDT", "side": "Sell", "size": "9", "positionIdx": 0},
    ]
    venue.on("/v5/position/list", {"list": rows, "nextPageCursor": ""})
    positions = await gateway.read_positions()
    assert [(p.symbol, p.quantity, p.adl_rank) for p in positions] == [
        ("BTCUSDT", Decimal("-0.25"), 4),
        ("XRPUSDT", Decimal(-9), 0),
    ]


async def test_open_orders_of_both_products_are_read(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    def listed(asked: Asked) -> dict[str, Any]:
        status = "New" if asked.fields["category"] == "spot" else "Filled"
        return envelope({"list": [{**ORDER, "orderStatus": status}], "nextPageCursor": ""})

    venue.answers["/v5/order/realtime"] = listed
    [order] = await gateway.read_open_orders()
    assert order.category is Category.SPOT
