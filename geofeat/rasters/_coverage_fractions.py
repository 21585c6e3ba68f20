"""Which fraction of each pixel polygons cover, by exactextract."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

# exactextract works through larger areas piece by piece.
_CELLS_AT_ONCE = 2**22


class PixelWindow(NamedTuple):
    """Pixels ``row`` to ``row + height - 1`` and ``col`` to ``col + width - 1`` of a raster."""

    row: int
    col: int
    height: int
    width: int


class CoveredPixels(NamedTuple):
    """Pixels that shapes touch: ``shape``, ``row``, ``col`` int64, ``fraction`` float64 (m,)."""

    shape: np.ndarray
    row: np.ndarray
    col: np.ndarray
    fraction: np.ndarray


def require_exactextract() -> None:
    """Raise ImportError with the way out where exactextract is not installed."""
    try:
        import exactextract  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "sampling polygons needs exactextract: pip install 'geofeat[polygons]'"
        ) from error


def covered_pixels(shapes: np.ndarray, window: PixelWindow) -> CoveredPixels:
    """Fractions of the pixels of a window that polygons cover, those above 0.

    Parameters
    ----------
    shapes : object array of shape (n,)
        Valid shapely polygons in columns and rows; the pixel (0, 0) reaches from 0 to 1.
    window : PixelWindow
        Pixels to look at.

    Returns
    -------
    covered : CoveredPixels
        By shape, ascending. Fractions are exact to the precision of float32.
    """
    import shapely
    from exactextract import exact_extract

    grid, polygons_of = _views()
    # Rows count downwards, exactextract's y upwards.
    flipped = shapely.to_wkb(shapely.transform(shapes, lambda c: c * [1.0, -1.0]))
    found = exact_extract(
        grid(window),
        polygons_of(flipped),
        ["cell_id", "coverage"],
        max_cells_in_memory=_CELLS_AT_ONCE,
    )
    cells = [one["properties"]["cell_id"] for one in found]
    sizes = [len(cell) for cell in cells]
    cell = np.concatenate([np.empty(0, dtype=np.int64), *cells])
    fraction = np.concatenate([np.empty(0), *[one["properties"]["coverage"] for one in found]])
    return CoveredPixels(
        np.repeat(np.arange(len(sizes)), sizes),
        window.row + cell // window.width,
        window.col + cell % window.width,
        fraction,
    )


@lru_cache(maxsize=1)
def _views() -> tuple[Any, Any]:
    """Classes through which exactextract sees a window and polygons; made when it is imported."""
    from exactextract.feature import Feature, FeatureSource
    from exactextract.raster import RasterSource

    class UnitCells(RasterSource):
        """A raster of unit pixels that holds zeros, made as they are asked for."""

        def __init__(self, window: PixelWindow):
            super().__init__()
            top, bottom = -window.row, -(window.row + window.height)
            self._extent = window.col, bottom, window.col + window.width, top

        def res(self) -> tuple[float, float]:
            return 1.0, 1.0

        def extent(self) -> tuple[float, ...]:
            return tuple(map(float, self._extent))

        def nodata_value(self) -> None:
            return None

        def srs_wkt(self) -> None:
            return None

        def read_window(self, x0: int, y0: int, nx: int, ny: int) -> np.ndarray:
            return np.zeros((ny, nx), dtype=np.int8)

    class Polygon(Feature):
        def __init__(self, wkb: bytes):
            Feature.__init__(self)
            self._wkb = wkb

        def geometry(self) -> bytes:
            return self._wkb

        def fields(self) -> list[str]:
            return []

        def get(self, name: str) -> None:
            return None

        def set(self, name: str, value: Any) -> None:
            """Keep nothing: results go to exactextract's own features."""

    class Polygons(FeatureSource):
        def __init__(self, wkb: np.ndarray):
            super().__init__()
            self._polygons = [Polygon(one) for one in wkb]

        def count(self) -> int:
            return len(self._polygons)

        def __iter__(self) -> Any:
            return iter(self._polygons)

        def srs_wkt(self) -> None:
            return None

    return UnitCells, Polygons
