"""How the kernels of this folder are compiled: by Numba, without the GIL, cached on disk."""

import numba

# No fast-math: a product and a sum could be fused here and not there, as the compiler sees fit, and
# a process that compiles a kernel would not get the bits of one that loads it from the disk.
kernel = numba.njit(nogil=True, cache=True, fastmath=False, error_model="numpy")
