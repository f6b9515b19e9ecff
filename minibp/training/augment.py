"""Training images moved and mirrored at random, anew in each epoch."""

from dataclasses import dataclass

import numpy as np

from minibp.errors import InputError
from minibp.rng import Draws

KINDS = ("none", "crop", "flip", "crop+flip")


@dataclass(frozen=True)
class Augment:
    """Random crops of an image with `padding` black pixels around it, and mirror images.

    Samples are as they are stored, before they are prepared. padding 0 leaves the place as it is,
    and without `flip` no image is mirrored, left to right.
    """

    padding: int
    flip: bool

    @classmethod
    def of(cls, kind: str, padding: int, shape: tuple[int, ...]) -> "Augment | None":
        """Return what a setting means for samples of a shape; None for none.

        Raises InputError for samples that are no images (H, W, C).
        """
        if kind == "none":
            return None
        if len(shape) != 3:
            raise InputError(
                f"augmentation {kind!r} is for images (H, W, C), and samples have shape {shape}: "
                "expected --set augmentation=none."
            )
        return cls(padding if "crop" in kind else 0, "flip" in kind)

    def draw(self, draws: Draws, n: int) -> np.ndarray:
        """Return moves (n, 3) int32 of n images: rows down and columns right, from 0 to twice the
        padding, of the crop in the padded image, and 1 for one that is mirrored."""
        moves = np.zeros((n, 3), np.int32)
        moves[:, :2] = draws.host.integers(0, 2 * self.padding + 1, (n, 2))
        if self.flip:
            moves[:, 2] = draws.host.integers(0, 2, n)
        return moves

    def __call__(self, X: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Return images (B, H, W, C) so moved.

        >>> row = np.array([[[[1], [2], [3]]]])
        >>> Augment(1, True)(row, np.array([[1, 2, 0]])).ravel()  # one to the left
        array([2, 3, 0])
        >>> Augment(1, True)(row, np.array([[1, 1, 1]])).ravel()
        array([3, 2, 1])
        """
        p, (H, W) = self.padding, X.shape[1:3]
        padded = np.pad(X, ((0, 0), (p, p), (p, p), (0, 0)))
        moved = np.empty_like(X)
        for image, out, (y, x, mirrored) in zip(padded, moved, moves.tolist(), strict=True):
            crop = image[y : y + H, x : x + W]
            out[...] = crop[:, ::-1] if mirrored else crop
        return moved
