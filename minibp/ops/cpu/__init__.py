"""Compiled kernels for the CPU. Needs Numba, and is imported by `minibp.ops.tiers` only."""
