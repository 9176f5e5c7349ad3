"""What is wrong with a data set, told before it is trained on."""

from fovea.vision.checking.findings import Finding, Report
from fovea.vision.checking.layouts import open_parts
from fovea.vision.checking.lint import lint
from fovea.vision.checking.readable import readable
from fovea.vision.checking.timing import LoaderTimes, profile_loader

__all__ = [
    "Finding",
    "LoaderTimes",
    "Report",
    "lint",
    "open_parts",
    "profile_loader",
    "readable",
]
