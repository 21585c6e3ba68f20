"""What tells one extraction from another, as plain values that JSON can hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np

import geofeat
from geofeat.rasters._sampler import EmbeddingRasterSampler

# Parameters that change what is said or how fast it goes, and no number.
_IDLE_PARAMETERS = {"progress", "device"}
_LONGEST = 200


def job_signature(
    identity: dict[str, Any], transformer: Any, names: tuple[str, ...], dtype: str, form: str | None
) -> dict[str, Any]:
    """Describe points, transformer and stored numbers; equal descriptions mean equal records."""
    return {
        "geofeat version": geofeat.__version__,
        "input": identity,
        "transformer": describe(transformer),
        "columns": short(list(names)),
        "dtype": dtype if form is None else f"{dtype} ({form})",
    }


def digest_of(signature: dict[str, Any]) -> str:
    """Hexadecimal digest of a signature."""
    return hashlib.sha256(repr(signature).encode()).hexdigest()


def describe(value: Any) -> Any:
    """Text, numbers, lists and mappings that differ where results would."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.generic):
        return repr(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = np.ascontiguousarray(value)
        return f"{value.dtype}{value.shape} {_hash(content.tobytes())}"
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return short([describe(item) for item in value])
    return {"type": type(value).__name__, **_describe_object(value)}


def short(values: list[Any]) -> Any:
    """Return a list as it is, or the digest of a long one."""
    text = repr(values)
    return values if len(text) <= _LONGEST else f"{len(values)} items {_hash(text.encode())}"


def _describe_object(value: Any) -> dict[str, Any]:
    if hasattr(value, "get_params"):
        parameters = value.get_params(deep=False)
        if isinstance(value, EmbeddingRasterSampler):
            parameters = _sampler_parameters(parameters)
            fitted = {}
        else:  # what was drawn or learned
            fitted = {
                name: item
                for name, item in vars(value).items()
                if name.endswith("_") and not name.startswith("_") and name != "bounds_"
            }
        kept = {**parameters, **fitted}
        return {name: describe(kept[name]) for name in kept if name not in _IDLE_PARAMETERS}
    if hasattr(value, "_parameters"):
        return {name: describe(item) for name, item in value._parameters().items()}
    if hasattr(value, "dims") and hasattr(value, "coords"):
        coords = {str(name): describe(value.coords[name].values) for name in value.coords}
        in_memory = isinstance(getattr(getattr(value, "variable", None), "_data", None), np.ndarray)
        content = describe(value.values) if in_memory else str(value.dtype)
        shape = dict(zip(map(str, value.dims), value.shape, strict=True))
        return {"shape": shape, "coords": coords, "values": content}
    try:
        return {"content": joblib.hash(value)}
    except Exception:  # joblib pickles, which may fail in any way; the type must do
        return {}


def _sampler_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a sampler, its source opened; all words of ``on_missing`` mean NaN."""
    from geofeat.rasters._sources import open_source

    on_missing = parameters["on_missing"]
    return {
        **parameters,
        "source": open_source(parameters["source"]),
        "on_missing": "nan" if isinstance(on_missing, str) else on_missing,
    }


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
