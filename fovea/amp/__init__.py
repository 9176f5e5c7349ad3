"""``fovea.amp``: mixed precision, with PyTorch's names."""

from __future__ import annotations

from fovea.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from fovea.amp.grad_scaler import GradScaler
