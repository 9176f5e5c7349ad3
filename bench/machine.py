"""The machine, the versions, and the machine's peaks."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform

from bench.peak import Peak, measure
from bench.tables import Report

__all__ = ["describe", "peaks"]

_PACKAGES = (
    "fovea", "numpy", "llvmlite", "torch", "torchvision", "keras", "tensorflow", "tensorflow-cpu",
    "jax", "onnxruntime", "openvino",
)  # fmt: skip


def describe() -> str:
    """One line about the machine and the versions."""
    from fovea.targets.cpu import isa

    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    hardware = f"{platform.machine()}, {cores} cores, {isa.host().name}"
    return f"{hardware}; Python {platform.python_version()}; {', '.join(versions)}."


def peaks(report: Report, counts: tuple[int, ...]) -> Peak:
    """Measure and show the peaks for these numbers of threads."""
    head = ("threads", "multiply-adds, GFLOP/s", "copy, GB/s read and written")
    report.start("peaks", "What the machine can do at most", head)
    found = measure(counts)
    for threads, (flops, copied) in found.items():
        record = {"threads": threads, "gflops": flops, "gigabytes": copied}
        report.row("peaks", record, (str(threads), f"{flops:.0f}", f"{copied:.1f}"))
    return found
