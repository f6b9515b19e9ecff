"""Kernels for a GPU, in CUDA C. Imported by `minibp.ops.tiers` only."""
