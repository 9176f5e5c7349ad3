"""Layers that make numbers of words, categories and ranges."""

from fovea.keras.layers.features.discretization import Discretization
from fovea.keras.layers.features.encoding import CategoryEncoding
from fovea.keras.layers.features.hashing import HashedCrossing, Hashing
from fovea.keras.layers.features.lookup import IntegerLookup, StringLookup
from fovea.keras.layers.features.text import TextVectorization

__all__ = [
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
]
