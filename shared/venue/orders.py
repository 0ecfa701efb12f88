"""Every order the venue ever accepted, found by its id or by the client's."""

from dataclasses import dataclass, field

from shared.venue.records import Order


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

    def find(self, category: str, order_id: str = "", link_id: str = "") -> Order | None:
        """Return an order by its id, or else by the client's id."""
        place = self._place.get(order_id or self._links.get((category, link_id), ""))
        order = self.rows[place] if place is not None else None
        return order if order is not None and order.category == category else None
