"""What the venue lists: products with their rules, as instruments-info shows them."""

from decimal import Decimal
from typing import Any, Final

from services.simulator.market import Source
from shared.history.rules import ProductRules
from shared.venue.amounts import plain

Row = dict[str, Any]

HIGHEST_PRICE: Final = "199999.98"


def instrument_row(market: Source, category: str, symbol: str, now_ms: int) -> Row:
    """Return one product; a perpetual's interval is that of its coming settlement."""
    product = market.products[category, symbol]
    common = {
        "symbol": symbol,
        "symbolId": market.symbols.index(symbol) + 1,
        "baseCoin": product.base,
        "quoteCoin": product.quote,
        "status": _status(market, category, symbol, now_ms),
        "symbolType": "",
    }
    own = _spot(product) if category == "spot" else _linear(market, product, now_ms)
    return common | own


def _status(market: Source, category: str, symbol: str, now_ms: int) -> str:
    ends_ms = market.delivery_ms(symbol, now_ms) if category == "linear" else 0
    return "Closed" if 0 < ends_ms <= now_ms else "Trading"


def _spot(product: ProductRules) -> Row:
    most = plain(product.max_qty)
    return {
        "innovation": "0",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": plain(product.step),
            "quotePrecision": "0.00000001",
            "minOrderQty": plain(product.min_qty),
            "maxOrderQty": most,
            "minOrderAmt": plain(product.min_notional),
            "maxOrderAmt": "1999999999",
            "maxLimitOrderQty": most,
            "maxMarketOrderQty": most,
            "postOnlyMaxLimitOrderSize": most,
        },
        "priceFilter": {"tickSize": plain(product.tick)},
        "riskParameters": _band(product),
    }


def _linear(market: Source, product: ProductRules, now_ms: int) -> Row:
    cap = product.funding_cap or Decimal(0)
    most = plain(product.max_qty)
    return {
        "contractType": "LinearPerpetual",
        "settleCoin": product.quote,
        "launchTime": str(product.launch_ms),
        "deliveryTime": str(market.delivery_ms(product.symbol, now_ms)),
        "deliveryFeeRate": "",
        "priceScale": str(max(0, -int(product.tick.normalize().as_tuple().exponent))),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": plain(product.max_leverage),
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": plain(product.tick),
            "maxPrice": HIGHEST_PRICE,
            "tickSize": plain(product.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": plain(product.min_qty),
            "qtyStep": plain(product.step),
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": plain(product.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": market.next_settlement(product.symbol, now_ms)[1] * 60,
        "copyTrading": "none",
        "upperFundingRate": plain(cap),
        "lowerFundingRate": plain(-cap),
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": _band(product),
        "displayName": "",
    }


def _band(product: ProductRules) -> Row:
    """Return the bounds of limit prices: one band, whichever of the venue's two applies."""
    ratio = "" if product.price_band is None else plain(product.price_band)
    return {"priceLimitRatioX": ratio, "priceLimitRatioY": ratio}
