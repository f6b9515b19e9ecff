"""Random images and windows for property tests."""

from hypothesis import strategies as st


@st.composite
def sliding(draw, pooling=False):
    """Draw (image shape, window, stride, padding) such that the window fits."""
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.integers(1, 3))
    limits = [size - 1 if pooling else 2 for size in (window[0], window[0], window[1], window[1])]
    padding = tuple(draw(st.integers(0, limit)) for limit in limits)
    least = [
        max(1, window[0] - padding[0] - padding[1]),
        max(1, window[1] - padding[2] - padding[3]),
    ]
    H, W = (low + draw(st.integers(0, 6)) for low in least)
    channels = draw(st.sampled_from([1, 2, 3, 4, 8]))  # by fours a GPU moves them together
    return (draw(st.integers(1, 3)), H, W, channels), window, stride, padding
