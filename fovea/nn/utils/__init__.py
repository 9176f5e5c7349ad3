"""``fovea.nn.utils``: gradients clipped, parameters as one vector or as functions of others,
sequences of several lengths."""

from __future__ import annotations

from fovea.nn.utils import parametrizations, parametrize, prune, rnn, stateless
from fovea.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from fovea.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from fovea.nn.utils.freezing import (
    freeze,
    param_groups_layer_decay,
    param_groups_weight_decay,
    train_unfrozen,
    unfreeze,
)
from fovea.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from fovea.nn.utils.init import skip_init
from fovea.nn.utils.memory_format import (
    convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format,
)
from fovea.nn.utils.normed import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
