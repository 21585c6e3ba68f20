"""What every source does when it is copied, pickled or shown."""

from __future__ import annotations

import inspect
from typing import Any, Self


class ImmutableSource:
    """Mix-in of sources: parameters are kept as given, whatever was read is found anew.

    A copy is the source itself, so that cloning a pipeline copies no index and no raster. A
    pickle holds the parameters only: no file, no index, no cache.
    """

    def _parameters(self) -> dict[str, Any]:
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __copy__(self) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self._parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __dask_tokenize__(self) -> Any:  # arrays are hashed where they are, not pickled first
        return type(self).__name__, self._parameters()

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        shown = []
        for position, (name, value) in enumerate(self._parameters().items()):
            if value is defaults[name].default:
                continue
            text = repr(value) if len(repr(value)) <= 80 else f"<{type(value).__name__}>"
            shown.append(text if position == 0 else f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"
