import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import sliding

from minibp.errors import InputError
from minibp.ops.plain.im2col import col2im, im2col
from minibp.ops.window import check_pool, check_window, output_size


@given(case=sliding(), seed=st.integers(0, 99))
def test_col2im_is_the_adjoint_of_im2col(case, seed):
    """⟨im2col(x), y⟩ = ⟨x, col2im(y)⟩"""
    shape, window, stride, padding = case
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    columns = im2col(x, window, stride, padding)
    y = rng.normal(size=columns.shape)
    assert np.vdot(columns, y) == pytest.approx(
        np.vdot(x, col2im(y, shape, window, stride, padding)), rel=1e-12, abs=1e-12
    )


@given(case=sliding())
def test_columns_index_by_index(case):
    shape, window, stride, padding = case
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    columns = im2col(x, window, stride, padding).reshape(shape[0], -1, *window, shape[3])
    _, OW = output_size(*shape[1:3], window, stride, padding)
    for n, position, a, c, k in np.ndindex(columns.shape):
        row = position // OW * stride - padding[0] + a
        column = position % OW * stride - padding[2] + c
        inside = 0 <= row < shape[1] and 0 <= column < shape[2]
        assert columns[n, position, a, c, k] == (x[n, row, column, k] if inside else 0)


def test_each_device_gives_the_same_columns(device, rng):
    host = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    case = ((3, 2), 2, (1, 0, 2, 1))
    columns = im2col(device.asarray(host), *case)
    np.testing.assert_array_equal(device.to_host(columns), im2col(host, *case))
    back = col2im(columns, host.shape, *case)
    np.testing.assert_array_equal(
        device.to_host(back), col2im(im2col(host, *case), host.shape, *case)
    )


def test_windows_that_do_not_fit():
    with pytest.raises(InputError, match="5x5 does not fit into an image of 4x9"):
        output_size(4, 9, (5, 5), 1, (0, 0, 0, 0))
    with pytest.raises(InputError, match="stride 0"):
        check_window((2, 2), 0, (0, 0, 0, 0))
    with pytest.raises(InputError, match="top, bottom, left, right"):
        check_window((2, 2), 1, (0, 0))
    with pytest.raises(InputError, match="whole window"):
        check_pool((2, 2), 1, (0, 2, 0, 0))
