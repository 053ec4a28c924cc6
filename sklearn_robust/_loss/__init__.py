"""One number: scalars in, scalars out. Imports math and numba only."""
