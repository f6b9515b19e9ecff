"""Numbers that a caller gives: Python's or NumPy's, checked, and then Python's."""

import numbers
from typing import Any

import numpy as np

from minibp.errors import InputError


def plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's number; anything else as it is.

    >>> plain(np.int64(3)), plain(np.True_), plain("he")
    (3, True, 'he')
    """
    return value.item() if isinstance(value, np.generic) else value


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, and no truth value.

    >>> is_whole(3), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def is_number(value: object) -> bool:
    """Return whether a value is a real number, perhaps NaN, and no truth value or text."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def whole(what: str, value: Any, low: int = 0) -> int:
    """Return a whole number of `low` or more as Python's; raise InputError for anything else."""
    if not is_whole(value) or value < low:
        raise InputError(f"{what} {value!r}: expected a whole number of {low} or more.")
    return int(value)


def finite(what: str, value: Any) -> float:
    """Return a finite number of 0 or more as Python's; raise InputError for anything else."""
    if not is_number(value) or not 0 <= value < float("inf"):
        raise InputError(f"{what} {value!r}: expected a finite number of 0 or more.")
    return float(value)
