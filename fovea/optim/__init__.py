"""Optimizers and learning-rate schedules, with PyTorch's names, defaults and saved form."""

from fovea.optim import lr_scheduler
from fovea.optim.adagrad import Adagrad
from fovea.optim.adam import Adam, AdamW
from fovea.optim.adamax import Adamax
from fovea.optim.nadam import NAdam
from fovea.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from fovea.optim.rmsprop import RMSprop
from fovea.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "lr_scheduler",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]
