"""The only file that imports private names of scikit-learn."""

from types import ModuleType
from typing import Any

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
from sklearn.utils._set_output import _get_output_config
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
    "output_container",
    "supported_float_dtypes",
    "torch_namespace",
    "validate_parameter_constraints",
]


def output_container(transformer: Any) -> str:
    """Tell what `set_output`, or else the global configuration, makes of the output."""
    return str(_get_output_config("transform", transformer)["dense"])


def torch_namespace() -> ModuleType:
    """Array API namespace of torch, whether or not dispatch is enabled."""
    from sklearn.externals.array_api_compat import torch

    return torch
