"""Log-mel features of speech: 40 energies of bands, the whole energy, and their differences."""

import numpy as np

BANDS = 40
WINDOW, HOP = 0.025, 0.010  # seconds
CONTEXT = 7  # frames on each side: 15 in all
FEATURES = 3 * (BANDS + 1)  # 123
FLOOR = 1.0  # of energies, so that digital silence has a logarithm


def frame_count(samples: int, rate: int) -> int:
    """Return how many whole windows there are.

    >>> frame_count(16000, 16000)
    98
    """
    return max(0, 1 + (samples - round(WINDOW * rate)) // round(HOP * rate))


def features(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return (frames, 123), float32: log energies of 40 mel bands from 0 to half the rate, log
    energy, then their first and second differences.

    Windows of 25 ms every 10 ms (Hamming), pre-emphasis 0.97; a difference is the slope of the
    regression line over five frames, the ends repeated.
    """
    window, hop = round(WINDOW * rate), round(HOP * rate)
    count = frame_count(len(samples), rate)
    x = samples.astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop][:count]
    energy = (frames**2).sum(axis=1)
    emphasized = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    size = 1 << (window - 1).bit_length()
    power = np.abs(np.fft.rfft(emphasized * np.hamming(window), size)) ** 2
    bands = power @ filters(size, rate).T
    own = np.log(np.maximum(np.concatenate([bands, energy[:, None]], axis=1), FLOOR))
    first = differences(own)
    return np.concatenate([own, first, differences(first)], axis=1).astype(np.float32)


def filters(size: int, rate: int) -> np.ndarray:
    """Return (40, size / 2 + 1): triangles, each from its left neighbour's peak to its right one's,
    evenly spaced in mel, 2595 log10(1 + f / 700)."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    peaks = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    hertz = np.arange(size // 2 + 1) * rate / size
    left, middle, right = peaks[:-2, None], peaks[1:-1, None], peaks[2:, None]
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return np.clip(np.minimum(rising, falling), 0, None)


def differences(x: np.ndarray) -> np.ndarray:
    """Return Σ_k k (x[t + k] − x[t − k]) / (2 Σ_k k²), k = 1, 2, of (frames, …)."""
    padded = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
    return ((padded[3:-1] - padded[1:-3]) + 2 * (padded[4:] - padded[:-4])) / 10


def in_context(x: np.ndarray, frame: int) -> np.ndarray:
    """Return frame − 7 … frame + 7 of (frames, 123) as one vector (1845,), the ends repeated."""
    rows = np.arange(frame - CONTEXT, frame + CONTEXT + 1).clip(0, len(x) - 1)
    return x[rows].ravel()
