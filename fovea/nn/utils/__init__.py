"""``fovea.nn.utils``: gradient clipping, parameters as one vector, sequences of several lengths."""

from __future__ import annotations

from fovea.nn.utils import rnn
from fovea.nn.utils.clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from fovea.nn.utils.vector import parameters_to_vector, vector_to_parameters
