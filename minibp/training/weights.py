"""A network's weights as arrays by name: what evaluation needs, and no more."""

import numpy as np

from minibp.errors import InputError, differing
from minibp.network import Network

KINDS = ("parameters", "moments")  # what the names begin with


def weights_of(network: Network) -> dict[str, np.ndarray]:
    """Return the parameters and BN's moments, on the host: "parameters/conv1/W" and so on."""
    to_host = network.device.to_host
    arrays = {f"parameters/{key}": to_host(array) for key, array in network.parameters().items()}
    for layer in network.batch_norms():
        if layer.mean is not None:
            arrays[f"moments/{layer.path}/mean"] = to_host(layer.mean)
            arrays[f"moments/{layer.path}/std"] = to_host(layer.std)
    return arrays


def put_weights(network: Network, arrays: dict[str, np.ndarray]) -> None:
    """Have a network hold weights; V follows by its rule.

    Raises InputError for the weights of another network.
    """
    given = select(arrays)
    shapes = [
        {name: array.shape for name, array in some.items() if name.startswith("parameters/")}
        for some in (given, weights_of(network))
    ]
    if changes := differing(*shapes):
        raise InputError(f"these are the weights of another network: {'; '.join(changes[:5])}.")
    layers = dict(network.walk())
    for place, host in given.items():
        kind, _, key = place.partition("/")
        path, _, name = key.rpartition("/")
        array, layer = network.device.asarray(host), layers[path]
        if kind == "parameters":
            layer.params[name][...] = array
        else:
            setattr(layer, name, array)
    network.apply_rule()


def select(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return those arrays of a run's state that are weights."""
    return {name: array for name, array in arrays.items() if name.partition("/")[0] in KINDS}
