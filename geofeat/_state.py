"""Pickles that know which geofeat wrote them."""

from __future__ import annotations

import warnings
from typing import Any

import geofeat
from geofeat.exceptions import VersionWarning

# Raised when the meaning of a pickled attribute changes.
_STATE_NUMBER = 1


class VersionedState:
    """Mix-in that stores geofeat's version in pickles and checks it when they are read."""

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # type: ignore[call-overload]
        return {**state, "_geofeat_version": geofeat.__version__, "_geofeat_state": _STATE_NUMBER}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_geofeat_version", None)
        number = state.pop("_geofeat_state", _STATE_NUMBER)
        name = type(self).__name__
        if number > _STATE_NUMBER:
            raise ValueError(
                f"This {name} was pickled by geofeat {version} in state {number}; geofeat "
                f"{geofeat.__version__} knows states up to {_STATE_NUMBER}. Upgrade geofeat."
            )
        if version != geofeat.__version__:
            warnings.warn(
                f"This {name} was pickled by geofeat {version} and is read by geofeat "
                f"{geofeat.__version__}; results may differ.",
                VersionWarning,
                stacklevel=2,
            )
        super().__setstate__(state)  # type: ignore[misc]
