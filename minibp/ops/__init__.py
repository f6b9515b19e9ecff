"""Pure functions on arrays, without state: one text for NumPy and CuPy."""
