"""Optimizers and learning-rate schedules, with PyTorch's names, defaults and saved form."""

from fovea.optim import lr_scheduler, swa_utils
from fovea.optim.adadelta import Adadelta
from fovea.optim.adafactor import Adafactor
from fovea.optim.adagrad import Adagrad
from fovea.optim.adam import Adam, AdamW
from fovea.optim.adamax import Adamax
from fovea.optim.asgd import ASGD
from fovea.optim.large_batch import LAMB, LARS
from fovea.optim.lbfgs import LBFGS
from fovea.optim.lion import Lion
from fovea.optim.muon import Muon
from fovea.optim.muon_adam import MuonWithAuxAdam
from fovea.optim.nadam import NAdam
from fovea.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from fovea.optim.radam import RAdam
from fovea.optim.rmsprop import RMSprop
from fovea.optim.rprop import Rprop
from fovea.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "MuonWithAuxAdam",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "swa_utils",
]
