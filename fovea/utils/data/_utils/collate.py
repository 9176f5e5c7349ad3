"""Joining samples, where programs import it from."""

from fovea.utils.data.collate import default_collate, default_convert

__all__ = ["default_collate", "default_convert"]
