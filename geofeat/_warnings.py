"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn once, at the first frame outside geofeat and scikit-learn."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in (
        "geofeat",
        "sklearn",
    ):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
