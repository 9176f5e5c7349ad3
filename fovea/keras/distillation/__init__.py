"""Knowledge distillation: a small model learns from the answers, and the features, of a large one.

>>> import numpy as np
>>> from fovea import keras
>>> from fovea.keras.layers import Dense
>>> def network(width):
...     return keras.Sequential([keras.Input((4,)), Dense(width), Dense(3)])
>>> soft = LogitsDistillation(temperature=3.0, loss=keras.losses.KLDivergence())
>>> distiller = Distiller(network(16), network(4), soft, student_loss_weight=0.3)
>>> hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
>>> distiller.compile("adam", loss=hard)
>>> history = distiller.fit(np.ones((8, 4)), np.zeros(8), verbose=0)
>>> sorted(history.history)
['distillation_loss', 'loss', 'student_loss', 'total_loss']
"""

from fovea.keras.distillation.distiller import Distiller
from fovea.keras.distillation.losses import (
    DistillationLoss,
    FeatureDistillation,
    LogitsDistillation,
)

__all__ = ["DistillationLoss", "Distiller", "FeatureDistillation", "LogitsDistillation"]
