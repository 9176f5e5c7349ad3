"""Metrics of images and numbers as functions."""

from __future__ import annotations

from fovea.metrics import image, regression
from fovea.metrics.tasks import as_function

__all__ = [
    "mean_absolute_error",
    "mean_squared_error",
    "multiscale_structural_similarity_index_measure",
    "peak_signal_noise_ratio",
    "r2_score",
    "structural_similarity_index_measure",
]

_COMMON = "reduction data_range k1 k2"

peak_signal_noise_ratio = as_function(
    image.PeakSignalNoiseRatio, "peak_signal_noise_ratio", "data_range base reduction dim"
)
structural_similarity_index_measure = as_function(
    image.StructuralSimilarityIndexMeasure,
    "structural_similarity_index_measure",
    f"gaussian_kernel sigma kernel_size {_COMMON} return_full_image return_contrast_sensitivity",
)
multiscale_structural_similarity_index_measure = as_function(
    image.MultiScaleStructuralSimilarityIndexMeasure,
    "multiscale_structural_similarity_index_measure",
    f"gaussian_kernel sigma kernel_size {_COMMON} betas normalize",
)
mean_squared_error = as_function(
    regression.MeanSquaredError, "mean_squared_error", "squared num_outputs"
)
mean_absolute_error = as_function(
    regression.MeanAbsoluteError, "mean_absolute_error", "num_outputs"
)
r2_score = as_function(regression.R2Score, "r2_score", "adjusted multioutput")
