"""Transformers that no longer compare their input with what they were fitted on."""

from __future__ import annotations

import copy
from typing import Any

from geofeat._base import LocationTransformer

# What `fit` leaves in a transformer of places to compare later input with.
_MEMORIES = ("n_features_in_", "feature_names_in_", "bounds_")


def without_fitted_columns(transformer: Any) -> Any:
    """Copy that takes the two plain columns of pixels, whatever it was fitted on.

    Only the transformers of places that read the input itself forget: alone, first in a pipeline,
    or part of a union, at any depth. All else is the same object.
    """
    if isinstance(transformer, LocationTransformer):
        transformer = copy.copy(transformer)
        for memory in _MEMORIES:
            vars(transformer).pop(memory, None)
    elif hasattr(transformer, "steps"):
        (name, first), *rest = transformer.steps
        transformer = copy.copy(transformer)
        transformer.steps = [(name, without_fitted_columns(first)), *rest]
    elif hasattr(transformer, "transformer_list"):
        parts = transformer.transformer_list
        transformer = copy.copy(transformer)
        transformer.transformer_list = [
            (name, without_fitted_columns(part)) for name, part in parts
        ]
    return transformer
