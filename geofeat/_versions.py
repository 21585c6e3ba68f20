"""Versions, threads and folders: what a bug report needs."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "pandas",
    "polars",
    "geopandas",
    "pyproj",
    "shapely",
    "xarray",
    "rasterio",
    "pyarrow",
    "huggingface_hub",
    "safetensors",
    "threadpoolctl",
    "torch",
    "matplotlib",
)


def cache_folder() -> Path:
    """Folder of what geofeat builds or downloads: ``GEOFEAT_CACHE``, or the user's cache folder."""
    if folder := os.environ.get("GEOFEAT_CACHE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("geofeat", appauthor=False))


def show_versions() -> None:
    """Print versions, threads, GDAL, torch and its devices, and the cache folder.

    Examples
    --------
    >>> import geofeat
    >>> geofeat.show_versions()  # doctest: +ELLIPSIS
    geofeat ...
    """
    for name, value in _facts().items():
        sys.stdout.write(f"{name:<16}{value}\n")


def _facts() -> dict[str, str]:
    import geofeat
    from geofeat._threads import usable_threads

    facts = {
        "geofeat": geofeat.__version__,
        "python": f"{platform.python_version()} ({platform.platform()})",
    }
    facts |= {package: _installed(package) for package in _PACKAGES}
    facts["GDAL"] = _gdal_version()
    facts["threads"] = str(usable_threads())
    facts["array API"] = os.environ.get("SCIPY_ARRAY_API", "off (set SCIPY_ARRAY_API=1)")
    facts["torch devices"] = _torch_devices()
    facts["cache folder"] = str(cache_folder())
    return facts


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gdal_version() -> str:
    import rasterio

    return rasterio.__gdal_version__


def _torch_devices() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    devices = ["cpu"]
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        devices += [f"cuda ({torch.version.cuda}): {name}" for name in names]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return ", ".join(devices)
