"""Errors that say what was given, what was expected and what to do."""

import difflib
from collections.abc import Iterable


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
