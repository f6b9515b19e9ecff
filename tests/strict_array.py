"""A fake device whose arrays refuse whatever would move data to the host without being asked.

It stands in for a GPU on machines without one. Its arrays hold NumPy arrays and give NumPy's
numbers, but they raise StrictError on conversion (bool, float, iteration, np.asarray), on mixing
with NumPy arrays or scalars, and on everything that is not on the allow-lists below, which hold
only what CuPy offers too.

Within `recording()` nothing is done to arrays: what would be is put on a tape, as by a CUDA stream
that records a graph. A new array then has its place, and NaN in it; views of arrays are views.
"""

import contextlib
import threading

import numpy as np

from minibp.device import Device

FUNCTIONS = (
    "abs arange arctan2 ascontiguousarray empty empty_like exp eye full isfinite log log1p maximum"
    " may_share_memory minimum ones sign sqrt stack tanh tile where zeros"
).split()
METHODS = "argmax astype copy fill max mean min ravel reshape std sum transpose".split()
ATTRIBUTES = "T dtype flags ndim shape size".split()
OPERATORS = "add sub mul truediv floordiv pow matmul and or xor".split()
COMPARISONS = "lt le eq ne gt ge".split()


STATE = threading.local()  # of each thread its tape, if it records: functions to be called in turn


@contextlib.contextmanager
def recording():
    """Put what is done to arrays on a tape, which is given, instead of doing it."""
    assert not taping(), "a recording began within another"
    STATE.tape = []
    try:
        yield STATE.tape
    finally:
        STATE.tape = None


def taping():
    """Return whether this thread records."""
    return getattr(STATE, "tape", None) is not None


def perform(work):
    """Do work that writes to arrays that are there, or put it on the tape."""
    STATE.tape.append(work) if taping() else work()


class StrictError(TypeError):
    """The array was used in a way that a GPU's array does not allow, or not silently."""


def unwrap(value, *, what):
    """Return the NumPy array in a strict one; let plain Python values pass; refuse all else."""
    if isinstance(value, StrictArray):
        return value._array
    if isinstance(value, tuple | list):
        return type(value)(unwrap(item, what=what) for item in value)
    if isinstance(value, np.ndarray | np.generic):
        raise StrictError(f"{what}: a NumPy {type(value).__name__} met an array of the device")
    return value


def wrap(value):
    """Return NumPy results, also those without axes, as strict arrays."""
    return StrictArray(value) if isinstance(value, np.ndarray | np.generic) else value


class StrictArray:
    """An array of the strict device."""

    __array_ufunc__ = None  # NumPy then leaves mixed operators to this class
    __hash__ = None

    def __init__(self, array):
        self._array = np.asarray(array)

    def __array_namespace__(self):
        return NAMESPACE

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ATTRIBUTES:
            return wrap(getattr(self._array, name))
        if name == "fill":
            return lambda value: self.__setitem__(..., value)
        if name in METHODS:
            return _strict(getattr(self._array, name), name)
        raise StrictError(f"attribute {name!r} is not on the allow-list")

    def __len__(self):
        return len(self._array)

    def __getitem__(self, index):
        return StrictArray(self._array[unwrap(index, what="index")])

    def __setitem__(self, index, value):
        index, value = unwrap(index, what="index"), unwrap(value, what="assignment")
        perform(lambda: self._array.__setitem__(index, value))

    def __repr__(self):
        return f"StrictArray({self._array!r})"

    def _refuse(self, *_, **__):
        raise StrictError("this would copy from the device to the host without being asked")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __iter__ = __complex__ = _refuse


def _strict(function, name):
    def call(*args, **kwargs):
        args = [unwrap(arg, what=name) for arg in args]
        kwargs = {key: unwrap(value, what=name) for key, value in kwargs.items()}
        result = function(*args, **kwargs)
        return wrap(_later(function, args, kwargs, result) if taping() else result)

    return call


def _later(function, args, kwargs, result):
    """Return the array that will have the result when the tape is played."""
    if not isinstance(result, np.ndarray | np.generic):
        return result
    arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
    owner = getattr(function, "__self__", None)
    arrays += [owner] if isinstance(owner, np.ndarray) else []
    if any(np.may_share_memory(result, array) for array in arrays):
        return result  # a view
    place = np.full_like(result, np.nan if np.asarray(result).dtype.kind == "f" else 99)
    STATE.tape.append(lambda: np.copyto(place, function(*args, **kwargs)))
    return place


def _add_operator(name):
    def operate(self, *others):
        return _strict(getattr(self._array, name), name)(*others)

    setattr(StrictArray, name, operate)


def _add_inplace(name):
    def operate(self, other):
        value = unwrap(other, what=name)
        perform(lambda: getattr(self._array, name)(value))
        return self

    setattr(StrictArray, name, operate)


for _name in OPERATORS:
    _add_operator(f"__{_name}__")
    _add_operator(f"__r{_name}__")
    if _name != "matmul":
        _add_inplace(f"__i{_name}__")
for _name in (*COMPARISONS, "neg", "abs", "invert"):
    _add_operator(f"__{_name}__")


class StrictNamespace:
    """The functions of the strict device: an allow-list."""

    __name__ = "strict"

    def __init__(self, names, source):
        for name in names:
            setattr(self, name, _strict(getattr(source, name), name))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise StrictError(f"function {name!r} is not on the allow-list")


NAMESPACE = StrictNamespace(FUNCTIONS, np)
NAMESPACE.lib = StrictNamespace([], np.lib)
NAMESPACE.lib.stride_tricks = StrictNamespace(["sliding_window_view"], np.lib.stride_tricks)


class StrictDevice(Device):
    """The device of strict arrays."""

    name = "strict"
    blocking = False

    def __init__(self):
        super().__init__()
        self.xp = NAMESPACE

    def _put(self, host):
        if taping():
            raise StrictError("a copy from the host cannot be recorded")
        return StrictArray(host.copy())

    def _get(self, array):
        if taping():
            raise StrictError("a copy to the host cannot be recorded")
        return array._array.copy()
