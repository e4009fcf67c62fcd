"""The compiled kernels, the choice between their builds, and the ufuncs made of them."""
