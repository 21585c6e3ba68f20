"""Judging features fairly."""

from geofeat.evaluation._splitters import SpatialBlockKFold

__all__ = ["SpatialBlockKFold"]
