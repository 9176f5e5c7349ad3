"""Sequences of one length."""

from fovea.keras.utils.labels import pad_sequences

__all__ = ["pad_sequences"]
