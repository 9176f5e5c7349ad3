"""Pictures of training and of results: curves, confusion, how scores rank and how far they can be
believed, images with what was found in them, the samples that a model is most wrong about.

Matplotlib (``pip install "fovea[vision]"``) draws them; it is imported when the first is drawn. All
return the figure; ``ax=`` draws into axes that there are, ``path=`` writes a file.
"""

from fovea.vision.plots.confusion import plot_confusion_matrix
from fovea.vision.plots.curves import plot_lines, plot_training_curves
from fovea.vision.plots.gallery import plot_predictions
from fovea.vision.plots.losses import TopLoss, plot_top_losses, top_losses
from fovea.vision.plots.ranking import plot_calibration, plot_precision_recall, plot_roc
from fovea.vision.plots.tables import ClassTable, class_table

__all__ = [
    "ClassTable",
    "TopLoss",
    "class_table",
    "plot_calibration",
    "plot_confusion_matrix",
    "plot_lines",
    "plot_precision_recall",
    "plot_predictions",
    "plot_roc",
    "plot_top_losses",
    "plot_training_curves",
    "top_losses",
]
