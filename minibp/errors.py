"""Errors that say what was given, what was expected and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """What the caller gave cannot be used; scripts print its text and exit with status 2."""


class DeviceError(InputError):
    """A device is not usable here, or arrays of two devices were mixed."""


class DamagedFileError(InputError):
    """A file is truncated, corrupt, or not the file that its name promises."""


def unknown(kind: str, given: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the known ones, with the nearest one.

    >>> print(unknown("network", "minst", ["mnist", "cifar"]))
    unknown network 'minst'; did you mean 'mnist'? Known: mnist, cifar
    """
    known = list(known)
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.4)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
    return InputError(f"unknown {kind} {given!r}{hint} Known: {', '.join(known)}")


def counted(number: int, what: str) -> str:
    """Return a number of things, "class" and the like with their plural.

    >>> counted(1, "value"), counted(2, "class")
    ('1 value', '2 classes')
    """
    plural = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number} {what}{plural}"


def listed(names: Iterable[object], most: int = 10, of: int | None = None) -> str:
    """Return the first names and how many more there are, `of` in all if they are not all given.

    >>> listed("abc", most=2), listed("ab"), listed("ab", of=9)
    ('a, b and 1 more', 'a, b', 'a, b and 7 more')
    """
    names = [printable(str(name)) for name in names]
    shown = names[:most]
    more = (len(names) if of is None else of) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def printable(text: str) -> str:
    r"""Return a text in which bytes of a file's name that are no UTF-8 are escaped.

    >>> printable("café"), printable("caf\udce9")
    ('café', 'caf\\xe9')
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs between two dicts, as "name was …, now …".

    >>> differing({"a": 1, "b": 2}, {"a": 1, "b": 3})
    ['b was 2, now 3']
    """
    return [
        f"{name} was {before.get(name)!r}, now {now.get(name)!r}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
