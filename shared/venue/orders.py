"""Every order the venue ever accepted, found by its id or by the client's."""

from dataclasses import dataclass, field
from decimal import Decimal

from shared.venue.records import Order, OrderRequest


@dataclass(slots=True)
class OrderList:
    """Orders in the order of their arrival, each as it stands now."""

    rows: list[Order] = field(default_factory=list)
    _place: dict[str, int] = field(default_factory=dict)
    _links: dict[tuple[str, str], str] = field(default_factory=dict)
    _open: dict[str, None] = field(default_factory=dict)

    @property
    def open(self) -> list[Order]:
        """Orders that rest in a book, oldest first."""
        return [self.rows[self._place[order_id]] for order_id in self._open]

    def store(self, order: Order) -> None:
        """Add an order, or replace it by its newer state."""
        place = self._place.setdefault(order.order_id, len(self.rows))
        if place == len(self.rows):
            self.rows.append(order)
        else:
            self.rows[place] = order
        if order.link_id:
            self._links[order.category, order.link_id] = order.order_id
        if order.is_open:
            self._open[order.order_id] = None
        else:
            self._open.pop(order.order_id, None)

    def uses(self, category: str, link_id: str) -> bool:
        """Return whether the client's id was ever used in this category."""
        return bool(link_id) and (category, link_id) in self._links

    def get(self, order_id: str) -> Order:
        """Return an order that is there."""
        return self.rows[self._place[order_id]]

    def find(self, category: str, order_id: str = "", link_id: str = "") -> Order | None:
        """Return an order by its id, or else by the client's id."""
        place = self._place.get(order_id or self._links.get((category, link_id), ""))
        order = self.rows[place] if place is not None else None
        return order if order is not None and order.category == category else None


def new_order(request: OrderRequest, limit: Decimal | None, order_id: str, now_ms: int) -> Order:
    """Return the order that a request becomes; ``limit`` bounds its price."""
    return Order(
        order_id=order_id,
        link_id=request.link_id,
        category=request.category,
        symbol=request.symbol,
        side=request.side,
        order_type=request.order_type,
        time_in_force="IOC" if request.order_type == "Market" else request.time_in_force,
        price=limit,
        qty=request.qty,
        reduce_only=request.reduce_only,
        market_unit=request.market_unit,
        status="New",
        created_ms=now_ms,
        updated_ms=now_ms,
    )
