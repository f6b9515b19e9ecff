# %% 3a
# 28 − 5 + 1, and every second of them.
positions_stride_1 = 24
positions_stride_2 = 12

# %% 3b
# Left to right, a pixel at place 0, 1, 2 is in 1, 2, 3 windows, and the same from top to bottom.
middle, corner, beside_the_corner = 9, 1, 2


# %% 3c
def conv_dX(dN, V, shape):
    dcolumns = dN.reshape(-1, dN.shape[-1]) @ V.reshape(-1, V.shape[-1]).T
    return col2im(dcolumns, shape, V.shape[:2], 1, NO_PADDING)


# %% 3d
dW_depends_on = {"X", "dN"}
dX_depends_on = {"V", "dN"}

# %% 3e
# The window covers rows and columns 2, 3 and 4, of which 4 is outside: 2 × 2 are inside.
cells_inside = 4

# %% 3f
weights = 5 * 5 * 1 * 20 + 5 * 5 * 20 * 50 + 800 * 500 + 500 * 10
