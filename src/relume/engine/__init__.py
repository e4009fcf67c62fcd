"""The compiled training and prediction engine: one step over flat buffers, without the GIL."""
