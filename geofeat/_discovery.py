"""All transformers of the package, found rather than listed."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from sklearn.base import TransformerMixin

_ROOMS = ("embedders", "encoders", "rasters")


def all_transformers() -> list[tuple[str, type[TransformerMixin]]]:
    """Find every public transformer class.

    Returns
    -------
    transformers : list of (str, type)
        Name and class, sorted by name, of each transformer defined in a room of the package.

    Examples
    --------
    >>> from geofeat import all_transformers
    >>> [name for name, _ in all_transformers() if name.startswith("Spherical")]
    ['SphericalHarmonicsEncoder']
    """
    found: dict[str, type[TransformerMixin]] = {}
    for room in _ROOMS:
        package = import_module(f"geofeat.{room}")
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = import_module(info.name)
            found |= {
                name: kind
                for name, kind in inspect.getmembers(module, inspect.isclass)
                if kind.__module__ == info.name
                and issubclass(kind, TransformerMixin)
                and not inspect.isabstract(kind)
                and not name.startswith("_")
            }
    return sorted(found.items())
