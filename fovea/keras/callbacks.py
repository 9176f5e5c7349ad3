"""Callbacks for ``fit``, by Keras's names."""

from fovea.training.averages import SwapEMAWeights
from fovea.training.backup import BackupAndRestore
from fovea.training.callbacks import Callback, CallbackList
from fovea.training.checkpoint import ModelCheckpoint
from fovea.training.history import History
from fovea.training.loggers import CSVLogger, LambdaCallback, ProgbarLogger, TerminateOnNaN
from fovea.training.monitor import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from fovea.training.remote import RemoteMonitor
from fovea.training.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
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
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
