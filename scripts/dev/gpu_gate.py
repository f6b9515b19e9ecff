"""Can this GPU be used at all? One kernel, one product and one graph, within half a minute."""

import sys

import numpy as np

from minibp import get_device
from minibp.errors import DeviceError
from minibp.ops.tiers import ops_for


def main() -> int:
    try:
        device = get_device("cuda")
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(device.describe())
    ops, rng = ops_for(device), np.random.default_rng(0)
    X, W = (rng.normal(size=(64, 64)).astype("float32") for _ in range(2))
    x, w = device.asarray(X), device.asarray(W)

    def check(what: str, got: object, expected: np.ndarray) -> None:
        np.testing.assert_allclose(device.to_host(got), expected, rtol=1e-4, atol=1e-4)
        print(f"{what}: right")

    with device.working():
        check("a kernel", ops.relu(x), np.maximum(X, 0))
        check("a product", ops.linear(x, w, None), X @ W)
        total = device.asarray(np.zeros_like(X))

        def work() -> None:
            total.__iadd__(ops.relu(x))

        work()  # compiled before it is recorded
        replay = device.record(work)
        replay()
        replay()
        device.synchronize()
        check("a graph", total, 3 * np.maximum(X, 0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
