"""Classification's metrics as functions.

The arguments after ``preds`` and ``target`` stand in torchmetrics' order.
"""

from __future__ import annotations

from fovea.metrics import classification as of
from fovea.metrics.tasks import as_function

__all__ = [
    "accuracy",
    "auroc",
    "average_precision",
    "binary_accuracy",
    "binary_auroc",
    "binary_average_precision",
    "binary_brier_score",
    "binary_calibration_error",
    "binary_cohen_kappa",
    "binary_confusion_matrix",
    "binary_f1_score",
    "binary_fbeta_score",
    "binary_hamming_distance",
    "binary_jaccard_index",
    "binary_matthews_corrcoef",
    "binary_negative_predictive_value",
    "binary_precision",
    "binary_precision_recall_curve",
    "binary_recall",
    "binary_roc",
    "binary_specificity",
    "binary_stat_scores",
    "brier_score",
    "calibration_error",
    "cohen_kappa",
    "confusion_matrix",
    "exact_match",
    "f1_score",
    "fbeta_score",
    "hamming_distance",
    "jaccard_index",
    "matthews_corrcoef",
    "multiclass_accuracy",
    "multiclass_auroc",
    "multiclass_average_precision",
    "multiclass_brier_score",
    "multiclass_calibration_error",
    "multiclass_cohen_kappa",
    "multiclass_confusion_matrix",
    "multiclass_exact_match",
    "multiclass_f1_score",
    "multiclass_fbeta_score",
    "multiclass_hamming_distance",
    "multiclass_jaccard_index",
    "multiclass_matthews_corrcoef",
    "multiclass_negative_predictive_value",
    "multiclass_precision",
    "multiclass_precision_recall_curve",
    "multiclass_recall",
    "multiclass_roc",
    "multiclass_specificity",
    "multiclass_stat_scores",
    "multilabel_accuracy",
    "multilabel_auroc",
    "multilabel_average_precision",
    "multilabel_confusion_matrix",
    "multilabel_exact_match",
    "multilabel_f1_score",
    "multilabel_fbeta_score",
    "multilabel_hamming_distance",
    "multilabel_jaccard_index",
    "multilabel_matthews_corrcoef",
    "multilabel_negative_predictive_value",
    "multilabel_precision",
    "multilabel_precision_recall_curve",
    "multilabel_recall",
    "multilabel_roc",
    "multilabel_specificity",
    "multilabel_stat_scores",
    "negative_predictive_value",
    "precision",
    "precision_recall_curve",
    "recall",
    "roc",
    "specificity",
    "stat_scores",
]

_LAST = "ignore_index validate_args"
_SPREAD = f"multidim_average {_LAST}"
_BINARY, _CLASSES, _LABELS = (
    f"threshold {_SPREAD}",
    f"num_classes average top_k {_SPREAD}",
    f"num_labels threshold average {_SPREAD}",
)
_COUNTS = "num_classes num_labels"
_ALL = f"threshold {_COUNTS} average multidim_average top_k {_LAST}"
_ZERO = "zero_division"

binary_stat_scores = as_function(of.BinaryStatScores, "binary_stat_scores", _BINARY)
multiclass_stat_scores = as_function(of.MulticlassStatScores, "multiclass_stat_scores", _CLASSES)
multilabel_stat_scores = as_function(of.MultilabelStatScores, "multilabel_stat_scores", _LABELS)
stat_scores = as_function(of.StatScores, "stat_scores", f"task {_ALL}")
binary_accuracy = as_function(of.BinaryAccuracy, "binary_accuracy", _BINARY)
multiclass_accuracy = as_function(of.MulticlassAccuracy, "multiclass_accuracy", _CLASSES)
multilabel_accuracy = as_function(of.MultilabelAccuracy, "multilabel_accuracy", _LABELS)
accuracy = as_function(of.Accuracy, "accuracy", f"task {_ALL}")
binary_hamming_distance = as_function(of.BinaryHammingDistance, "binary_hamming_distance", _BINARY)
multiclass_hamming_distance = as_function(
    of.MulticlassHammingDistance, "multiclass_hamming_distance", _CLASSES
)
multilabel_hamming_distance = as_function(
    of.MultilabelHammingDistance, "multilabel_hamming_distance", _LABELS
)
hamming_distance = as_function(of.HammingDistance, "hamming_distance", f"task {_ALL}")
binary_precision = as_function(of.BinaryPrecision, "binary_precision", f"{_BINARY} {_ZERO}")
multiclass_precision = as_function(
    of.MulticlassPrecision, "multiclass_precision", f"{_CLASSES} {_ZERO}"
)
multilabel_precision = as_function(
    of.MultilabelPrecision, "multilabel_precision", f"{_LABELS} {_ZERO}"
)
precision = as_function(of.Precision, "precision", f"task {_ALL} {_ZERO}", zero_division=0)
binary_recall = as_function(of.BinaryRecall, "binary_recall", f"{_BINARY} {_ZERO}")
multiclass_recall = as_function(of.MulticlassRecall, "multiclass_recall", f"{_CLASSES} {_ZERO}")
multilabel_recall = as_function(of.MultilabelRecall, "multilabel_recall", f"{_LABELS} {_ZERO}")
recall = as_function(of.Recall, "recall", f"task {_ALL} {_ZERO}", zero_division=0)
binary_specificity = as_function(of.BinarySpecificity, "binary_specificity", _BINARY)
multiclass_specificity = as_function(of.MulticlassSpecificity, "multiclass_specificity", _CLASSES)
multilabel_specificity = as_function(of.MultilabelSpecificity, "multilabel_specificity", _LABELS)
specificity = as_function(of.Specificity, "specificity", f"task {_ALL}")
binary_negative_predictive_value = as_function(
    of.BinaryNegativePredictiveValue, "binary_negative_predictive_value", f"{_BINARY} {_ZERO}"
)
multiclass_negative_predictive_value = as_function(
    of.MulticlassNegativePredictiveValue,
    "multiclass_negative_predictive_value",
    f"{_CLASSES} {_ZERO}",
)
multilabel_negative_predictive_value = as_function(
    of.MultilabelNegativePredictiveValue,
    "multilabel_negative_predictive_value",
    f"{_LABELS} {_ZERO}",
)
negative_predictive_value = as_function(
    of.NegativePredictiveValue, "negative_predictive_value", f"task {_ALL} {_ZERO}", zero_division=0
)
binary_f1_score = as_function(of.BinaryF1Score, "binary_f1_score", f"{_BINARY} {_ZERO}")
multiclass_f1_score = as_function(
    of.MulticlassF1Score, "multiclass_f1_score", f"{_CLASSES} {_ZERO}"
)
multilabel_f1_score = as_function(of.MultilabelF1Score, "multilabel_f1_score", f"{_LABELS} {_ZERO}")
f1_score = as_function(of.F1Score, "f1_score", f"task {_ALL} {_ZERO}")
binary_fbeta_score = as_function(
    of.BinaryFBetaScore, "binary_fbeta_score", f"beta {_BINARY} {_ZERO}"
)
multiclass_fbeta_score = as_function(
    of.MulticlassFBetaScore, "multiclass_fbeta_score", f"beta {_CLASSES} {_ZERO}"
)
multilabel_fbeta_score = as_function(
    of.MultilabelFBetaScore, "multilabel_fbeta_score", f"beta {_LABELS} {_ZERO}"
)
fbeta_score = as_function(of.FBetaScore, "fbeta_score", f"task beta {_ALL} {_ZERO}")
binary_confusion_matrix = as_function(
    of.BinaryConfusionMatrix, "binary_confusion_matrix", f"threshold normalize {_LAST}"
)
multiclass_confusion_matrix = as_function(
    of.MulticlassConfusionMatrix, "multiclass_confusion_matrix", f"num_classes normalize {_LAST}"
)
multilabel_confusion_matrix = as_function(
    of.MultilabelConfusionMatrix,
    "multilabel_confusion_matrix",
    f"num_labels threshold normalize {_LAST}",
)
confusion_matrix = as_function(
    of.ConfusionMatrix, "confusion_matrix", f"task threshold {_COUNTS} normalize {_LAST}"
)
binary_cohen_kappa = as_function(
    of.BinaryCohenKappa, "binary_cohen_kappa", f"threshold weights {_LAST}"
)
multiclass_cohen_kappa = as_function(
    of.MulticlassCohenKappa, "multiclass_cohen_kappa", f"num_classes weights {_LAST}"
)
cohen_kappa = as_function(
    of.CohenKappa, "cohen_kappa", f"task threshold num_classes weights {_LAST}"
)
binary_matthews_corrcoef = as_function(
    of.BinaryMatthewsCorrCoef, "binary_matthews_corrcoef", f"threshold {_LAST}"
)
multiclass_matthews_corrcoef = as_function(
    of.MulticlassMatthewsCorrCoef, "multiclass_matthews_corrcoef", f"num_classes {_LAST}"
)
multilabel_matthews_corrcoef = as_function(
    of.MultilabelMatthewsCorrCoef, "multilabel_matthews_corrcoef", f"num_labels threshold {_LAST}"
)
matthews_corrcoef = as_function(
    of.MatthewsCorrCoef, "matthews_corrcoef", f"task threshold {_COUNTS} {_LAST}"
)
binary_jaccard_index = as_function(
    of.BinaryJaccardIndex, "binary_jaccard_index", f"threshold {_LAST} {_ZERO}"
)
multiclass_jaccard_index = as_function(
    of.MulticlassJaccardIndex, "multiclass_jaccard_index", f"num_classes average {_LAST} {_ZERO}"
)
multilabel_jaccard_index = as_function(
    of.MultilabelJaccardIndex,
    "multilabel_jaccard_index",
    f"num_labels threshold average {_LAST} {_ZERO}",
)
jaccard_index = as_function(
    of.JaccardIndex,
    "jaccard_index",
    f"task threshold {_COUNTS} average {_LAST} {_ZERO}",
    zero_division=0,
)
binary_roc = as_function(of.BinaryROC, "binary_roc", f"thresholds {_LAST}")
multiclass_roc = as_function(
    of.MulticlassROC, "multiclass_roc", f"num_classes thresholds average {_LAST}"
)
multilabel_roc = as_function(of.MultilabelROC, "multilabel_roc", f"num_labels thresholds {_LAST}")
roc = as_function(of.ROC, "roc", f"task thresholds {_COUNTS} average {_LAST}", average=None)
binary_precision_recall_curve = as_function(
    of.BinaryPrecisionRecallCurve, "binary_precision_recall_curve", f"thresholds {_LAST}"
)
multiclass_precision_recall_curve = as_function(
    of.MulticlassPrecisionRecallCurve,
    "multiclass_precision_recall_curve",
    f"num_classes thresholds average {_LAST}",
)
multilabel_precision_recall_curve = as_function(
    of.MultilabelPrecisionRecallCurve,
    "multilabel_precision_recall_curve",
    f"num_labels thresholds {_LAST}",
)
precision_recall_curve = as_function(
    of.PrecisionRecallCurve,
    "precision_recall_curve",
    f"task thresholds {_COUNTS} average {_LAST}",
    average=None,
)
binary_auroc = as_function(of.BinaryAUROC, "binary_auroc", f"max_fpr thresholds {_LAST}")
multiclass_auroc = as_function(
    of.MulticlassAUROC, "multiclass_auroc", f"num_classes average thresholds {_LAST}"
)
multilabel_auroc = as_function(
    of.MultilabelAUROC, "multilabel_auroc", f"num_labels average thresholds {_LAST}"
)
auroc = as_function(of.AUROC, "auroc", f"task thresholds {_COUNTS} average max_fpr {_LAST}")
binary_average_precision = as_function(
    of.BinaryAveragePrecision, "binary_average_precision", f"thresholds {_LAST}"
)
multiclass_average_precision = as_function(
    of.MulticlassAveragePrecision,
    "multiclass_average_precision",
    f"num_classes average thresholds {_LAST}",
)
multilabel_average_precision = as_function(
    of.MultilabelAveragePrecision,
    "multilabel_average_precision",
    f"num_labels average thresholds {_LAST}",
)
average_precision = as_function(
    of.AveragePrecision, "average_precision", f"task thresholds {_COUNTS} average {_LAST}"
)
binary_calibration_error = as_function(
    of.BinaryCalibrationError, "binary_calibration_error", f"n_bins norm {_LAST}"
)
multiclass_calibration_error = as_function(
    of.MulticlassCalibrationError,
    "multiclass_calibration_error",
    f"num_classes n_bins norm {_LAST}",
)
calibration_error = as_function(
    of.CalibrationError, "calibration_error", f"task n_bins norm num_classes {_LAST}"
)
multiclass_exact_match = as_function(
    of.MulticlassExactMatch, "multiclass_exact_match", f"num_classes {_SPREAD}"
)
multilabel_exact_match = as_function(
    of.MultilabelExactMatch, "multilabel_exact_match", f"num_labels {_BINARY}"
)
exact_match = as_function(of.ExactMatch, "exact_match", f"task {_COUNTS} {_BINARY}")
binary_brier_score = as_function(
    of.BinaryBrierScore, "binary_brier_score", f"scale_by_half {_LAST}"
)
multiclass_brier_score = as_function(
    of.MulticlassBrierScore, "multiclass_brier_score", f"num_classes scale_by_half {_LAST}"
)
brier_score = as_function(of.BrierScore, "brier_score", f"task num_classes scale_by_half {_LAST}")
