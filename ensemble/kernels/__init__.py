"""The rules of `layers` and `optimizers`, compiled: `spline` for one input, `dense` for any number.

They import numpy and numba only; `engines` calls them with arrays that are already checked.
"""
