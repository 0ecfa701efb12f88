"""Every planted bug."""

from typing import Final

from tests.mutants import books, orders, risk

MUTANTS: Final = (*orders.MUTANTS, *risk.MUTANTS, *books.MUTANTS)
