"""``fovea.nn``: modules, layers and losses, with PyTorch's names, defaults and first values."""

from __future__ import annotations

from fovea.nn import common_types, functional, grad, init, modules, parallel, utils
from fovea.nn.activation import (
    CELU,
    ELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Softshrink,
    Threshold,
)
from fovea.nn.adaptive import AdaptiveLogSoftmaxWithLoss
from fovea.nn.attention import MultiheadAttention, TransformerEncoderLayer
from fovea.nn.batch_norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from fovea.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from fovea.nn.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from fovea.nn.dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
)
from fovea.nn.folding import Fold, Unfold
from fovea.nn.lazy import (
    LazyConv1d,
    LazyConv2d,
    LazyConv3d,
    LazyConvTranspose1d,
    LazyConvTranspose2d,
    LazyConvTranspose3d,
    LazyLinear,
    UninitializedBuffer,
    UninitializedParameter,
)
from fovea.nn.lazy_norm import (
    LazyBatchNorm1d,
    LazyBatchNorm2d,
    LazyBatchNorm3d,
    LazyInstanceNorm1d,
    LazyInstanceNorm2d,
    LazyInstanceNorm3d,
)
from fovea.nn.linear import Bilinear, Identity, Linear
from fovea.nn.linear_loss import LinearCrossEntropyLoss, LinearCrossEntropyOptions
from fovea.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MarginRankingLoss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    TripletMarginLoss,
)
from fovea.nn.margins import (
    CTCLoss,
    GaussianNLLLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss2d,
    PoissonNLLLoss,
    TripletMarginWithDistanceLoss,
)
from fovea.nn.module import Module
from fovea.nn.normalization import CrossMapLRN2d, GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm
from fovea.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from fovea.nn.parallel import DataParallel
from fovea.nn.parameter import Buffer, Parameter
from fovea.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from fovea.nn.recurrent import GRU, LSTM, RNN, RNNBase
from fovea.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from fovea.nn.shaping import (
    ChannelShuffle,
    CosineSimilarity,
    Flatten,
    PairwiseDistance,
    PixelShuffle,
    PixelUnshuffle,
    Unflatten,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
)
from fovea.nn.smooth import (
    GELU,
    GLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Sigmoid,
    SiLU,
    Softmax,
    Softmax2d,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from fovea.nn.sparse import Embedding, EmbeddingBag
from fovea.nn.sync_batch_norm import SyncBatchNorm
from fovea.nn.transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
)
from fovea.nn.unpooling import (
    FractionalMaxPool2d,
    FractionalMaxPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from fovea.nn.volume import (
    AdaptiveAvgPool3d,
    AdaptiveMaxPool3d,
    AvgPool3d,
    Conv3d,
    ConvTranspose3d,
    MaxPool3d,
)
