import numpy as np

from minibp.ops import reference


def test_eq_1_and_2_by_hand():
    """The numbers are worked out on paper: two inputs, three outputs."""
    W = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    V = np.array([[1.0, -1.0, 0.0], [0.0, 2.0, 1.0]])
    assert reference.forward(np.array([1.0, 10.0]), W).tolist() == [41, 52, 63]
    dX = reference.backward(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0]), V)
    assert dX.tolist() == [-1, 4]
    dW = reference.weight_gradient(
        np.array([1.0, 10.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0])
    )
    assert dW.tolist() == [[1, 2, 0], [10, 20, 0]]


def test_convolution_by_hand():
    X = np.arange(9.0).reshape(3, 3, 1)
    W = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    N = reference.conv_forward(X, W, 1, (0, 0, 0, 0))
    assert N[..., 0].tolist() == [[27, 37], [57, 67]]
    dX = reference.conv_backward(np.ones((2, 2, 1)), W, (3, 3, 1), 1, (0, 0, 0, 0))
    assert dX[..., 0].tolist() == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]


def test_dense_is_a_matrix_product(rng):
    X, W, V = rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    dY, f_prime = rng.normal(size=3), rng.integers(0, 2, size=3)
    np.testing.assert_allclose(reference.forward(X, W), X @ W)
    np.testing.assert_allclose(reference.backward(dY, f_prime, V), V @ (f_prime * dY))
    np.testing.assert_allclose(reference.weight_gradient(X, dY, f_prime), np.outer(X, f_prime * dY))
