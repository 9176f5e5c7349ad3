"""Keras's layers: names, arguments and defaults are Keras 3's."""

from fovea.keras.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from fovea.keras.layers.convolutional import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from fovea.keras.layers.core import Dense, Embedding, Identity, Input, InputLayer, Lambda
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fovea.keras.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
)
from fovea.keras.layers.pooling import (
    AveragePooling2D,
    AvgPool2D,
    GlobalAveragePooling2D,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GlobalMaxPooling2D,
    MaxPool1D,
    MaxPool2D,
    MaxPooling1D,
    MaxPooling2D,
)
from fovea.keras.layers.preprocessing import Normalization, Rescaling
from fovea.keras.layers.regularization import Dropout, GaussianNoise, SpatialDropout2D
from fovea.keras.layers.reshaping import (
    Cropping2D,
    Flatten,
    Permute,
    Reshape,
    UpSampling2D,
    ZeroPadding2D,
)
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.transposed import Conv2DTranspose
from fovea.keras.layers.wrapper import ModuleWrapper, TorchModuleWrapper

Convolution1D, Convolution2D, Convolution2DTranspose = Conv1D, Conv2D, Conv2DTranspose

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution1D",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "ModuleWrapper",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "ReLU",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Softmax",
    "SpatialDropout2D",
    "Subtract",
    "TorchModuleWrapper",
    "UpSampling2D",
    "ZeroPadding2D",
    "add",
    "average",
    "concatenate",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
