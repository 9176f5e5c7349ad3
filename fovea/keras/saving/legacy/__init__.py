"""Keras's older file format, HDF5 with a model's description among its attributes."""
