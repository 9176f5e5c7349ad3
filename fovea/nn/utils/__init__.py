"""``fovea.nn.utils``: gradients clipped, parameters as one vector or as functions of others,
sequences of several lengths."""

from __future__ import annotations

from fovea.nn.utils import parametrizations, parametrize, prune, rnn
from fovea.nn.utils.clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from fovea.nn.utils.normed import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from fovea.nn.utils.vector import parameters_to_vector, vector_to_parameters
