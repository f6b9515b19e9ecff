"""What the notebooks' exercises are checked with."""

import numpy as np


def check(answer, expected, hint: str = "", *, within: float = 0.0) -> None:
    """Print whether an answer is right: a number, an array, a text, or several texts in any order.

    Numbers count as equal to six digits, or `within` a distance. `...` is an answer not given yet.

    >>> check(..., 0.5)
    … not answered yet
    >>> check([0.5], 0.5), check({"b", "a"}, ["a", "b"]), check(" U", "u")
    ✓ right
    ✓ right
    ✓ right
    (None, None, None)
    >>> check(0.25, 0.5, hint="f′(N) is missing.")
    ✗ not yet: 0.25. f′(N) is missing.
    """
    if answer is ...:
        print("… not answered yet")
    elif _same(answer, expected, within):
        print("✓ right")
    else:
        print(f"✗ not yet: {answer!r}. {hint}".rstrip())


def check_function(function, expected, *cases: tuple, hint: str = "") -> None:
    """Print whether a function returns what another one returns, in every case.

    A function not written yet returns `...`.

    >>> check_function(lambda x: x + x, lambda x: 2 * x, (1.0,), (3.0,))
    ✓ right
    >>> check_function(lambda x: x * x, lambda x: 2 * x, (2.0,), (3.0,), hint="Add them.")
    ✗ not yet: for (3.0,) it gives 9.0. Add them.
    """
    for case in cases:
        answer = function(*[np.copy(c) if isinstance(c, np.ndarray) else c for c in case])
        if answer is ...:
            print("… not answered yet")
            return
        if not _same(answer, expected(*case), 0.0):
            what = "an array that differs" if np.ndim(answer) else repr(answer)
            given = "one of the cases" if any(np.ndim(c) for c in case) else f"{case}"
            print(f"✗ not yet: for {given} it gives {what}. {hint}".rstrip())
            return
    print("✓ right")


def _same(answer, expected, within: float) -> bool:
    if isinstance(expected, str) or (isinstance(expected, list) and isinstance(expected[0], str)):
        return _words(answer) == _words(expected)
    try:
        answer, expected = np.asarray(answer), np.asarray(expected)
    except ValueError:  # lists of several lengths
        return False
    if answer.dtype.kind not in "biuf" or (expected.ndim and answer.shape != expected.shape):
        return False
    distance = max(within, 1e-9)
    return bool(answer.size and np.allclose(answer, expected, rtol=1e-6, atol=distance))


def _words(texts) -> list[str] | None:
    """Return texts in order, without spaces around them and in small letters."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list | tuple | set) or not all(isinstance(t, str) for t in texts):
        return None
    return sorted(text.strip().casefold() for text in texts)
