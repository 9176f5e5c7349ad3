"""``fovea.utils.model_zoo``: downloading weights by PyTorch's older name."""

from fovea.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
