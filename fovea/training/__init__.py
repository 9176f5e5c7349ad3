"""The training engine: one loop behind ``fit`` and the command line, its callbacks, its metrics."""

from fovea.training.averages import SwapEMAWeights
from fovea.training.backup import BackupAndRestore
from fovea.training.batches import Batches
from fovea.training.callbacks import Callback, CallbackList, Logs, numbers
from fovea.training.checkpoint import ModelCheckpoint, atomic_path
from fovea.training.comparison import RunDifference, compare_runs
from fovea.training.cross_validation import CrossValidation, folds, kfold
from fovea.training.history import History
from fovea.training.json_logger import JSONLogger
from fovea.training.loggers import CSVLogger, LambdaCallback, ProgbarLogger, TerminateOnNaN
from fovea.training.loop import Loop, Validation
from fovea.training.lr_finder import LearningRates, lr_find
from fovea.training.memory import MemoryPlan, largest_batch, memory_plan
from fovea.training.metrics import Accuracy, ConfusionMatrix, Mean, MeanOf, Metric
from fovea.training.monitor import (
    EarlyStopping,
    LearningRateScheduler,
    MonitorCallback,
    ReduceLROnPlateau,
    get_learning_rate,
    set_learning_rate,
)
from fovea.training.nonfinite import LocateNaN
from fovea.training.progress import Progbar
from fovea.training.remote import RemoteMonitor
from fovea.training.resuming import KeepState
from fovea.training.tensorboard import TensorBoard
from fovea.training.trackers import MLflowLogger, WandbLogger
from fovea.training.views import predict_views
from fovea.training.weighting import balanced_class_weights

__all__ = [
    "Accuracy",
    "BackupAndRestore",
    "Batches",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "ConfusionMatrix",
    "CrossValidation",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "KeepState",
    "LambdaCallback",
    "LearningRateScheduler",
    "LearningRates",
    "LocateNaN",
    "Logs",
    "Loop",
    "MLflowLogger",
    "Mean",
    "MeanOf",
    "MemoryPlan",
    "Metric",
    "ModelCheckpoint",
    "MonitorCallback",
    "Progbar",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "RunDifference",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "Validation",
    "WandbLogger",
    "atomic_path",
    "balanced_class_weights",
    "compare_runs",
    "folds",
    "get_learning_rate",
    "kfold",
    "largest_batch",
    "lr_find",
    "memory_plan",
    "numbers",
    "predict_views",
    "set_learning_rate",
]
