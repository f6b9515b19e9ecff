"""Tests of the tester: the strict device must catch what a GPU would not forgive."""

import numpy as np
import pytest
from strict_array import NAMESPACE, StrictArray, StrictDevice, StrictError

from minibp.device import namespace
from minibp.errors import DeviceError

a = StrictArray(np.array([1.0, -2.0, 3.0]))
h = np.array([1.0, 2.0, 3.0])

ILLEGAL = {
    "bool": lambda: bool(a[0] > 0),
    "if": lambda: 1 if a[0] > 0 else 2,
    "float": lambda: float(a[0]),
    "int": lambda: int(a[0]),
    "iteration": lambda: list(a),
    "unpacking": lambda: (lambda *x: x)(*a),
    "asarray": lambda: np.asarray(a),
    "a NumPy function": lambda: np.exp(a),
    "array + host array": lambda: a + h,
    "host array + array": lambda: h + a,
    "host array @ array": lambda: h @ a,
    "NumPy scalar * array": lambda: np.float64(2) * a,
    "array * NumPy scalar": lambda: a * np.float64(2),
    "in place with a host array": lambda: a.copy().__iadd__(h),
    "assigning a host array": lambda: a.copy().__setitem__(slice(None), h),
    "indexing by a host array": lambda: a[np.array([0, 1])],
    "a host array in a function": lambda: NAMESPACE.maximum(a, h),
    "a host array in a method": lambda: a.astype("float64").__matmul__(h),
    "range": lambda: range(a.argmax()),
    "comparison with a host array": lambda: a == h,
    "host array into": lambda: h.__setitem__(slice(None), a),
    "a function not on the list": lambda: NAMESPACE.linalg,
    "a method not on the list": lambda: a.tolist(),
    "item": lambda: a.item(),
    "format": lambda: f"{a[0]:.2f}",
}


@pytest.mark.parametrize("use", ILLEGAL.values(), ids=ILLEGAL)
def test_illegal_uses_raise(use):
    with pytest.raises(TypeError):  # StrictError is one; some raise before they reach it
        use()


def test_legal_uses_give_numpys_numbers():
    host = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    device = StrictDevice()

    def f(xp, x):
        y = xp.maximum(x, 0) @ x.T - 2 * x.sum(axis=1)
        y += (y > 0.5) * xp.sqrt(abs(y))
        y[1:, 0] = -y[0, 0]
        return y[y.argmax(axis=0)] / (3 + xp.arange(3))

    result = f(NAMESPACE, device.asarray(host))
    np.testing.assert_array_equal(device.to_host(result), f(np, host))


def test_namespace_tells_devices_apart():
    assert namespace(a, a) is NAMESPACE
    with pytest.raises(DeviceError, match="two devices"):
        namespace(a, h)


def test_results_without_axes_stay_on_the_device():
    assert isinstance(a.sum(), StrictArray)
    with pytest.raises(StrictError):
        float(a.sum())
