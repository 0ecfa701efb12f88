"""Wire rows, shaped as the venue prints them, to domain values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.errors import Malformed
from shared.domain.instrument import Category
from shared.domain.order import Side
from shared.exchange.bybit.parse import (
    amount,
    instant,
    milliseconds,
    optional_amount,
    parse_execution,
    parse_instrument,
    parse_key,
    parse_log_row,
    parse_margin,
    parse_order,
    parse_position,
    parse_top,
    parse_wallet,
    pool_is_short,
)
from shared.exchange.ports import FeedQuote, MarginRates

ORDER = {
    "orderId": "fd4300ae",
    "orderLinkId": "r1-abc",
    "symbol": "ETHUSDT",
    "price": "1600.00",
    "qty": "0.10",
    "side": "Buy",
    "isLeverage": "",
    "positionIdx": 0,
    "orderStatus": "Cancelled",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "avgPrice": "1599.50",
    "leavesQty": "0.00",
    "cumExecQty": "0.04",
    "cumExecValue": "63.98",
    "timeInForce": "IOC",
    "reduceOnly": False,
    "updatedTime": "1684738540561",
    "aKeyOfNextMonth": {"x": [1]},
}
EXECUTION = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "execFee": "26.3725275",
    "execId": "0ab1bdf7",
    "execPrice": "95900.1",
    "execQty": "0.5",
    "execType": "Trade",
    "orderId": "9aac161b",
    "orderLinkId": "",
    "side": "Sell",
    "execTime": "1746270400353",
    "isMaker": False,
    "feeCurrency": "",
    "seq": 140612148849382,
}
SETTLEMENT = {
    "id": "592324_XRPUSDT_161440249321",
    "symbol": "XRPUSDT",
    "side": "Buy",
    "funding": "-0.003676",
    "orderLinkId": "",
    "orderId": "1672128000-8-592324-1-2",
    "fee": "0.00000000",
    "change": "-0.003676",
    "cashFlow": "0",
    "transactionTime": "1672128000000",
    "type": "SETTLEMENT",
    "size": "100",
    "qty": "100",
    "cashBalance": "5086.55825002",
    "currency": "USDT",
    "category": "linear",
    "tradePrice": "0.3676",
    "tradeId": "534c0003",
}
LINEAR = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "deliveryTime": "0",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
    "fundingInterval": 480,
    "upperFundingRate": "0.00375",
    "lowerFundingRate": "-0.00375",
}
SPOT = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.00000001",
        "minOrderQty": "",
        "maxOrderQty": "71",
        "minOrderAmt": "5",
        "maxLimitOrderQty": "17000",
    },
    "priceFilter": {"tickSize": "0.01"},
}
KEY: dict[str, Any] = {
    "readOnly": 0,
    "permissions": {
        "ContractTrade": ["Order", "Position"],
        "Spot": ["SpotTrade"],
        "Wallet": ["AccountTransfer"],
    },
    "ips": ["18.181.170.164"],
    "expiredAt": "2026-02-01T00:00:00Z",
    "userID": 1448939,
    "uta": 1,
}


def test_an_order_cancelled_after_a_part_was_filled_is_final_and_keeps_the_part() -> None:
    report = parse_order(ORDER, Category.LINEAR)
    assert report.is_final
    assert report.filled_quantity == Decimal("0.04")
    assert report.filled_value == Decimal("63.98")
    assert report.reject_reason == ""
    assert report.updated_at == datetime(2023, 5, 22, 6, 55, 40, 561_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        ("New", False),
        ("PartiallyFilled", False),
        ("Untriggered", False),
        ("Triggered", False),
        ("Filled", True),
        ("Rejected", True),
        ("PartiallyFilledCanceled", True),
        ("SomethingNew", False),
    ],
)
def test_only_statuses_known_to_end_an_order_are_final(status: str, is_final: bool) -> None:
    assert parse_order({**ORDER, "orderStatus": status}, Category.SPOT).is_final is is_final


def test_an_order_that_filled_for_no_value_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse_order({**ORDER, "cumExecValue": ""}, Category.SPOT)


def test_a_perpetual_fee_without_a_currency_is_in_the_settle_coin() -> None:
    report = parse_execution(EXECUTION, Category.LINEAR)
    assert report.fill.fee == Decimal("26.3725275")
    assert report.fill.fee_currency == "USDT"
    assert report.fill.side is Side.SELL
    assert report.exec_type == "Trade"


def test_m7_a_fee_keeps_every_digit() -> None:
    fee = "0.1000000000000000000001"  # more than the 17 digits of a binary fraction
    report = parse_execution({**EXECUTION, "execFee": fee}, Category.LINEAR)
    assert report.fill.fee == Decimal(fee)


def test_a_spot_fee_without_a_currency_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse_execution(EXECUTION, Category.SPOT)


@pytest.mark.parametrize(("side", "signed"), [("Buy", "300"), ("Sell", "-300")])
def test_a_position_is_signed_by_its_side(side: str, signed: str) -> None:
    row = {"symbol": "BTCUSDT", "side": side, "size": "300", "avgPrice": "27464.5"}
    assert parse_position(row).quantity == Decimal(signed)


@pytest.mark.parametrize(("said", "bound"), [("41.2", Decimal("41.2")), ("", None)])
def test_a_position_names_the_margin_that_it_binds_unless_blank(
    said: str, bound: Decimal | None
) -> None:
    row = {"symbol": "BTCUSDT", "side": "Sell", "size": "3", "avgPrice": "1", "positionMM": said}
    assert parse_position(row).maintenance == bound


def test_a_flat_position_has_no_side_and_no_entry_price() -> None:
    report = parse_position({"symbol": "BTCUSDT", "side": "", "size": "0", "avgPrice": "0"})
    assert report.quantity == 0
    assert report.entry_price is None


def test_funding_paid_is_negative_in_the_log() -> None:
    row = parse_log_row(SETTLEMENT)
    assert row.funding == Decimal("-0.003676")
    assert row.change == row.cash_flow + row.funding - row.fee
    assert row.balance == Decimal("5086.55825002")
    assert row.kind == "SETTLEMENT"


def test_rows_of_one_id_have_different_keys() -> None:
    trade = {**SETTLEMENT, "type": "TRADE", "tradeId": "5184f079"}
    coin = {**trade, "currency": "XRP"}
    assert len({parse_log_row(row).key for row in (SETTLEMENT, trade, coin)}) == 3


def test_a_blank_amount_is_none_and_never_zero() -> None:
    assert optional_amount({"x": ""}, "x") is None
    assert optional_amount({}, "x") is None


@pytest.mark.parametrize("raw", [0.1, True, "abc", "NaN", "Infinity", [], {}])
def test_what_is_no_decimal_text_is_malformed(raw: object) -> None:
    with pytest.raises(Malformed):
        amount({"x": raw}, "x")


def test_a_decimal_keeps_every_digit() -> None:
    assert str(amount({"x": "0.00000001234567890123"}, "x")) == "1.234567890123E-8"


def test_milliseconds_survive_the_way_there_and_back() -> None:
    assert milliseconds(instant("1684738540561")) == 1_684_738_540_561
    assert milliseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1_999)) == 1


def test_linear_rules_come_from_the_linear_fields() -> None:
    rules = parse_instrument(LINEAR, Category.LINEAR)
    assert (rules.tick, rules.step) == (Decimal("0.10"), Decimal("0.001"))
    assert (rules.min_notional, rules.max_quantity) == (Decimal(5), Decimal(1190))
    assert rules.funding_interval_minutes == 480
    assert rules.funding_cap == Decimal("0.00375")
    assert rules.delivery_at is None
    assert rules.is_trading


def test_an_announced_delivery_ends_trading() -> None:
    rules = parse_instrument({**LINEAR, "deliveryTime": "1735809771618"}, Category.LINEAR)
    assert rules.delivery_at == instant(1_735_809_771_618)
    assert not rules.is_trading


def test_spot_rules_use_the_smallest_amount_and_not_the_deprecated_maximum() -> None:
    rules = parse_instrument(SPOT, Category.SPOT)
    assert rules.step == rules.min_quantity == Decimal("0.000001")
    assert rules.max_quantity == Decimal(17000)
    assert rules.min_notional == Decimal(5)


@pytest.mark.parametrize(
    ("change", "can_trade", "can_withdraw"),
    [
        ({}, True, False),
        ({"readOnly": 1}, False, False),
        ({"permissions": {**KEY["permissions"], "Spot": []}}, False, False),
        ({"permissions": {**KEY["permissions"], "ContractTrade": ["Order"]}}, False, False),
        ({"permissions": {**KEY["permissions"], "Wallet": ["Withdraw"]}}, True, True),
    ],
)
def test_a_key_may_what_its_permissions_say(
    change: dict[str, Any], can_trade: bool, can_withdraw: bool
) -> None:
    key = parse_key({**KEY, **change})
    assert (key.can_trade, key.can_withdraw) == (can_trade, can_withdraw)
    assert key.account == "1448939"
    assert key.expires_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_key_open_to_every_address_is_bound_to_none() -> None:
    key = parse_key({**KEY, "ips": ["*"], "expiredAt": "1970-01-01T00:00:00Z"})
    assert key.bound_ips == ()
    assert key.expires_at is None


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (
            {"accountMMRate": "0.0123", "accountIMRate": "0.25", "totalMarginBalance": "812.5"},
            ("0.0123", "0.25", "812.5"),
        ),
        (  # isolated margin
            {"accountMMRate": "", "accountIMRate": "", "totalMarginBalance": ""},
            (None, None, None),
        ),
        ({}, (None, None, None)),
    ],
)
def test_margin_rates_are_fractions_and_blank_is_none(
    account: dict[str, str], expected: tuple[str | None, str | None, str | None]
) -> None:
    told = (None if value is None else Decimal(value) for value in expected)
    assert parse_margin({"list": [account]}) == MarginRates(*told)


def test_a_top_is_the_best_level_of_each_side_stamped_by_the_book() -> None:
    book = {
        "s": "BTCUSDT",
        "b": [["65485.47", "47.081829"]],
        "a": [["65557.7", "16.606555"]],
        "ts": 1_716_863_719_031,
    }
    assert parse_top(book, Category.LINEAR) == FeedQuote(
        Category.LINEAR,
        "BTCUSDT",
        Decimal("65485.47"),
        Decimal("47.081829"),
        Decimal("65557.7"),
        Decimal("16.606555"),
        datetime(2024, 5, 28, 2, 35, 19, 31_000, tzinfo=UTC),
    )


@pytest.mark.parametrize("bids", [[], None, [{}], [["", "1"]], [["1"]]])
def test_a_top_without_a_side_is_no_price(bids: object) -> None:
    book = {"s": "BTCUSDT", "b": bids, "a": [["2", "1"]], "ts": 1}
    with pytest.raises(Malformed):
        parse_top(book, Category.SPOT)


def test_a_wallet_maps_coins_to_balances() -> None:
    coins = [
        {"coin": "USDT", "walletBalance": "100000.5"},
        {"coin": "BTC", "walletBalance": "0.25"},
    ]
    assert parse_wallet({"list": [{"coin": coins}]}) == {
        "USDT": Decimal("100000.5"),
        "BTC": Decimal("0.25"),
    }


def test_a_wallet_balance_leaves_out_the_gain_that_equity_holds() -> None:
    # 1,000 in the wallet, 250 gained on an open position: the venue counts both in these two.
    coin = {
        "coin": "USDT", "walletBalance": "1000", "unrealisedPnl": "250", "equity": "1250",
        "usdValue": "1250",
    }  # fmt: skip
    account = {"totalEquity": "1250", "totalWalletBalance": "1000", "coin": [coin]}
    assert parse_wallet({"list": [account]}) == {"USDT": Decimal(1000)}


@pytest.mark.parametrize(
    ("balance", "drawdown", "short"),
    [
        ("92203504694.99632", "-0.560973", True),  # the documented example
        ("10000.01", "-0.25", True),  # it stops above -0.25
        ("10000.01", "-0.249999", False),
        ("10000", "-0.9", False),  # the drawdown counts above the threshold alone
        ("0", "0", True),
        ("-5421.29889888", "0", True),
        ("0.01", "0.174", False),
    ],
)
def test_a10_a_pool_is_short_when_empty_or_drawn_down_beyond_where_it_stops(
    balance: str, drawdown: str, short: bool
) -> None:
    row = {
        "coin": "USDT", "symbol": "BTCUSDT", "balance": balance, "maxBalance": "",
        "insurancePnlRatio": "-0.3", "pnlRatio": drawdown, "adlTriggerThreshold": "10000",
        "adlStopRatio": "-0.25",
    }  # fmt: skip
    assert pool_is_short(row) is short


@pytest.mark.parametrize("absent", ["balance", "pnlRatio", "adlTriggerThreshold", "adlStopRatio"])
def test_a_pool_that_is_told_in_part_is_not_guessed(absent: str) -> None:
    row = {"balance": "2", "pnlRatio": "0", "adlTriggerThreshold": "1", "adlStopRatio": "-0.25"}
    with pytest.raises(Malformed, match=absent):
        pool_is_short({**row, absent: ""})
