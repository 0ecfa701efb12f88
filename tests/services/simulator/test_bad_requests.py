"""Whatever is asked of any path is answered or refused by a code: never a server error."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from services.simulator.auth import Key
from services.simulator.main import Simulator
from services.simulator.public import PUBLIC_ROUTES, PublicApi
from services.simulator.query import Query
from services.simulator.routes import Endpoint, private_routes
from shared.venue.rules import Refused
from tests.services.simulator.builders import HandClock, settings, wired

GOOD: Final[dict[str, Any]] = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "20000", "timeInForce": "GTC", "orderLinkId": "ours", "orderId": "", "limit": "10",
    "startTime": "1699660800000", "endTime": "1699664400000", "start": "0", "end": "9999999999999",
    "interval": "60", "cursor": "", "settleCoin": "USDT", "baseCoin": "", "accountType": "UNIFIED",
    "coin": "BTC", "coinName": "BTC", "currency": "BTC", "collateralSwitch": "ON", "mode": "0",
    "buyLeverage": "5", "sellLeverage": "5", "setMarginMode": "REGULAR_MARGIN", "openOnly": "0",
    "modifyEnable": "true", "deltaEnable": "1", "reduceOnly": "false", "positionIdx": "0",
    "marketUnit": "baseCoin", "execType": "", "type": "", "status": "Trading",
    "request": [{"symbol": "BTCUSDT", "orderLinkId": "ours"}],
}  # fmt: skip
ODD: Final[tuple[Any, ...]] = (
    "", "x", "-1", "0", "1e5000", "1e-5000", "NaN", "-Infinity", "9" * 400, "9" * 5_000, "²",
    "\x00", "💥", "null", "1;DROP", None, True, 7, -7, 1.5, [], [[]], [None], {}, {"a": []},
    "a,b,,c", "%00%zz", "1:2:3",
)  # fmt: skip


def asked(simulator: Simulator) -> dict[str, Callable[[Query], Any]]:
    public = PublicApi(simulator.desk, HandClock())
    private: dict[str, Endpoint] = dict(
        private_routes(simulator.desk, public, "key", Random(0).sample)
    )
    return {path: endpoint.answer for path, endpoint in private.items()} | {
        path: getattr(public, name) for path, name in PUBLIC_ROUTES.items()
    }


async def outcome(answer: Callable[[Query], Any], fields: dict[str, Any]) -> str:
    """Return what came of a request: answered, or refused by a code of the venue."""
    try:
        said = answer(Query(fields))
        if hasattr(said, "__await__"):
            said = await said
    except Refused as refusal:
        return "refused" if refusal.code > 0 else f"refused with {refusal.code}"
    return "answered" if isinstance(said, dict | tuple) else f"answered with {said!r}"


async def test_no_odd_value_of_any_field_breaks_any_path(tmp_path: Path) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        found = {"answered": 0, "refused": 0}
        for path, answer in asked(simulator).items():
            for name in GOOD:
                for odd in ODD:
                    try:
                        found[await outcome(answer, GOOD | {name: odd})] += 1
                    except Exception as error:
                        raise AssertionError(f"{path} with {name}={odd!r}: {error!r}") from error
    assert found["answered"] > 1_000
    assert found["refused"] > 1_000


async def test_no_field_that_is_missing_breaks_any_path(tmp_path: Path) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        for path, answer in asked(simulator).items():
            for name in GOOD:
                left = {key: value for key, value in GOOD.items() if key != name}
                assert await outcome(answer, left) in ("answered", "refused"), path
            assert await outcome(answer, {}) in ("answered", "refused"), path


@pytest.mark.fact("bybit-v5 2.4: windows of more than seven days are refused (10001, 181010)")
@pytest.mark.parametrize(
    ("path", "code"),
    [("execution/list", 10001), ("order/history", 10001), ("account/transaction-log", 181010)],
)
async def test_a_window_of_more_than_seven_days_is_refused(
    tmp_path: Path, path: str, code: int
) -> None:
    week = 7 * 86_400_000
    async with wired(settings(tmp_path), HandClock()) as simulator:
        answer = asked(simulator)[path]
        fields = GOOD | {"orderLinkId": "", "startTime": "0", "endTime": str(week)}
        assert await outcome(answer, fields) == "answered"
        with pytest.raises(Refused) as caught:
            await answer(Query(fields | {"endTime": str(week + 1)}))
    assert caught.value.code == code


@pytest.mark.fact("bybit-v5 2.3: a time stamp or a window that is no number is a bad parameter")
@pytest.mark.parametrize("odd", ["", "-1", "1.5", "²", "٣", "9" * 5_000])
@pytest.mark.parametrize("header", ["x-bapi-timestamp", "x-bapi-recv-window"])
def test_a_header_that_is_no_number_is_refused_by_its_code(header: str, odd: str) -> None:
    headers = {
        "x-bapi-api-key": "k", "x-bapi-timestamp": "1000", "x-bapi-recv-window": "5000",
        "x-bapi-sign": "s", header: odd,
    }  # fmt: skip
    with pytest.raises(Refused) as caught:
        Key("k", "secret").check_request(headers, b"", 1_000)
    assert caught.value.code == 10001


@pytest.mark.parametrize("expires", ["²", "٣", "9" * 5_000, "", None, -1, [1]])
def test_an_expiry_that_is_no_number_opens_no_socket(expires: Any) -> None:
    assert Key("k", "secret").check_socket(["k", expires, "s"], 0) is False
