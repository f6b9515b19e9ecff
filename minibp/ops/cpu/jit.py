"""How the kernels of this folder are compiled: by Numba, without the GIL, cached on disk."""

import numba

# Not "nnan" and "ninf": infinities and NaN must go through as IEEE 754 has it.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

kernel = numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
