"""The compiled kernels, and the choice between their builds for different instruction sets."""
