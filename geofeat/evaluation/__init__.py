"""Judging features fairly."""

from geofeat.evaluation._block_importance import block_importance
from geofeat.evaluation._splitters import SpatialBlockKFold

__all__ = ["SpatialBlockKFold", "block_importance"]
