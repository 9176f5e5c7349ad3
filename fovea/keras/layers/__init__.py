"""Keras's layers: names, arguments and defaults are Keras 3's."""

from fovea.keras.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from fovea.keras.layers.attention import AdditiveAttention, Attention
from fovea.keras.layers.convolutional import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from fovea.keras.layers.core import Dense, Embedding, Identity, Input, InputLayer, Lambda, Masking
from fovea.keras.layers.einsum_dense import EinsumDense
from fovea.keras.layers.gru import GRU, GRUCell
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.lstm import LSTM, LSTMCell
from fovea.keras.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fovea.keras.layers.multi_head_attention import GroupQueryAttention, MultiHeadAttention
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
from fovea.keras.layers.recurrent import RNN
from fovea.keras.layers.recurrent_cells import StackedRNNCells
from fovea.keras.layers.regularization import Dropout, GaussianNoise, SpatialDropout2D
from fovea.keras.layers.reshaping import (
    Cropping2D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling2D,
    ZeroPadding2D,
)
from fovea.keras.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.transposed import Conv2DTranspose
from fovea.keras.layers.wrapper import ModuleWrapper, TorchModuleWrapper
from fovea.keras.layers.wrappers import Bidirectional, TimeDistributed, Wrapper

Convolution1D, Convolution2D, Convolution2DTranspose = Conv1D, Conv2D, Conv2DTranspose

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Bidirectional",
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
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "GroupQueryAttention",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "ModuleWrapper",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout2D",
    "StackedRNNCells",
    "Subtract",
    "TimeDistributed",
    "TorchModuleWrapper",
    "UpSampling2D",
    "Wrapper",
    "ZeroPadding2D",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
