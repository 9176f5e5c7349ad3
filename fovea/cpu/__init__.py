"""``fovea.cpu``: what PyTorch has under ``torch.cpu``."""

from __future__ import annotations

from fovea.cpu import amp
