"""Synthetic multi-camera worlds of walking people, with exact ground truth."""

from train.synthetic.errors import OutputNotEmptyError
from train.synthetic.world import WorldSpec
from train.synthetic.writer import WorldFiles, write_world

__all__ = ["OutputNotEmptyError", "WorldFiles", "WorldSpec", "write_world"]
