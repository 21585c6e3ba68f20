"""The precision that phases and places are computed in."""

from __future__ import annotations

from typing import Any


def in_double(values: Any, xp: Any) -> Any:
    """Convert to float64, and leave as it is on Metal, which has no double precision."""
    if "mps" in str(getattr(values, "device", "")):
        return values
    return xp.astype(values, xp.float64, copy=False)
