"""IDX, the format of MNIST's files: magic 0, 0, 8, number of axes; sizes; unsigned bytes."""

import math

import numpy as np

from minibp.errors import DamagedFileError


def parse(content: bytes) -> np.ndarray:
    """Return the uint8 array of an IDX file's content.

    Raises DamagedFileError unless it has exactly the bytes that its header promises.
    """
    axes = content[3] if len(content) > 3 else 0
    if content[:3] != b"\0\0\x08" or not 1 <= axes <= 4 or len(content) < 4 + 4 * axes:
        raise DamagedFileError("not an IDX file of unsigned bytes.")
    shape = [int(n) for n in np.frombuffer(content, ">u4", count=axes, offset=4)]
    if len(content) != 4 + 4 * axes + math.prod(shape):
        raise DamagedFileError(
            f"an IDX file of shape {tuple(shape)} with {len(content) - 4 - 4 * axes} values."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
