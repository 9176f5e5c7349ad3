"""Choices about how ops are computed: ``fovea.backends.cpu``. The rest can be set, to no effect."""

from __future__ import annotations

from fovea.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]
