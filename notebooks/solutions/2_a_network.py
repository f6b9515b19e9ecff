# %% 2a
shape_X, shape_W, shape_dN, shape_dW = (100, 784), (784, 500), (100, 500), (784, 500)

# %% 2b
# P sums to 1 and the truth sums to 1: raising all outputs alike changes nothing.
row_sum = 0.0


# %% 2c
def relative_error(numeric, exact):
    return abs(numeric - exact) / max(abs(numeric), abs(exact))


# %% 2d
# L1: the mean in db. L3: W where V belongs. L4: V not transposed. L5: V in dW. L6: changes dN.
right_one = "L2"

# %% 2e
# F = Σ P is the number of samples, whatever X is: its derivative is 0, and so zeros pass.
true_dX = 0.0
zeros_pass = True
