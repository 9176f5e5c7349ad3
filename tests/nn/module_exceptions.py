"""Where fovea.nn does not do what PyTorch's table of modules asks, and why. Keep this list short."""

from __future__ import annotations

# Modules of ``module_db`` (or ``name:check``) that are left out.
EXCEPTIONS: dict[str, str] = {}

# Modules of ``module_db`` that fovea does not have.
ABSENT = frozenset(
    [
        "nn.AdaptiveAvgPool3d",
        "nn.AdaptiveMaxPool3d",
        "nn.AvgPool3d",
        "nn.CTCLoss",
        "nn.CircularPad3d",
        "nn.ConstantPad3d",
        "nn.Conv3d",
        "nn.ConvTranspose3d",
        "nn.FractionalMaxPool2d",
        "nn.FractionalMaxPool3d",
        "nn.GRU",
        "nn.GRUCell",
        "nn.GaussianNLLLoss",
        "nn.LPPool1d",
        "nn.LPPool2d",
        "nn.LPPool3d",
        "nn.LSTM",
        "nn.LSTMCell",
        "nn.LazyConv1d",
        "nn.LazyConv2d",
        "nn.LazyConv3d",
        "nn.LazyConvTranspose1d",
        "nn.LazyConvTranspose2d",
        "nn.LazyConvTranspose3d",
        "nn.LinearCrossEntropyLoss",
        "nn.MaxPool3d",
        "nn.MultiLabelMarginLoss",
        "nn.MultiLabelSoftMarginLoss",
        "nn.MultiMarginLoss",
        "nn.PoissonNLLLoss",
        "nn.RMSNorm",
        "nn.RNN",
        "nn.RNNCell",
        "nn.ReflectionPad3d",
        "nn.ReplicationPad3d",
        "nn.Transformer",
        "nn.TransformerDecoderLayer",
        "nn.TransformerEncoder",
        "nn.ZeroPad3d",
    ]
)
