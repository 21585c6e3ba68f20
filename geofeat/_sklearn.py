"""The only file that imports private names of scikit-learn."""

from types import ModuleType

from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._array_api import (
    check_same_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in

__all__ = [
    "Interval",
    "StrOptions",
    "_fit_context",
    "_safe_indexing",
    "check_feature_names_in",
    "check_same_namespace",
    "get_namespace_and_device",
    "move_to",
    "supported_float_dtypes",
    "torch_namespace",
    "validate_parameter_constraints",
]


def torch_namespace() -> ModuleType:
    """Array API namespace of torch, whether or not dispatch is enabled."""
    from sklearn.externals.array_api_compat import torch

    return torch
