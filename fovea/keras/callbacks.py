"""Callbacks for ``fit``, by Keras's names."""

from fovea.training.callbacks import Callback, CallbackList
from fovea.training.checkpoint import ModelCheckpoint
from fovea.training.history import History
from fovea.training.loggers import CSVLogger, LambdaCallback, ProgbarLogger, TerminateOnNaN
from fovea.training.monitor import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
