"""Image operations on NumPy arrays (..., channels, height, width) of any strides, uint8 or float.

Tensors go through these without a copy. Results keep the order in memory that NumPy gives
element-wise results, so images that are channels-last in memory stay so.
"""
