"""The door into the core."""

from decimal import Decimal

import numpy as np
import pytest

from shared.analytics.quantise import quantised, quantised_all, quantised_or_none
from shared.domain.errors import Malformed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.100000000000"),
        (-0.0, "0.000000000000"),
        (2.0**-12, "0.000244140625"),
        (0.5 + 2.0**-41, "0.500000000000"),  # 0.4547e-12 above
        (1.5 * 2.0**-40, "0.000000000001"),  # 1.364e-12
        (123456.75, "123456.750000000000"),
    ],
)
def test_a_float_becomes_the_nearest_multiple_of_a_trillionth(value: float, text: str) -> None:
    assert format(quantised(value), "f") == text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_does_not_enter_the_core(value: float) -> None:
    with pytest.raises(Malformed, match="no number"):
        quantised(value)


def test_missing_stays_missing() -> None:
    assert quantised_or_none(None) is None
    assert quantised_or_none(float("nan")) is None
    assert quantised_or_none(0.25) == Decimal("0.25")
    assert quantised_all(np.array([0.5, 0.25])) == (Decimal("0.5"), Decimal("0.25"))
