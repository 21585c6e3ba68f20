"""The pixel grid of a TESSERA tile, which follows from the tile's centre alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from affine import Affine

PIXEL_METRES = 10.0


class TesseraGrid(NamedTuple):
    """Where the pixels of one tile lie."""

    epsg: int
    transform: Affine
    width: int
    height: int


def tessera_grid(lon: float, lat: float) -> TesseraGrid:
    """Grid of the 0.1 degree tile centred at (lon, lat) degrees: the cell's UTM envelope.

    Zones are the plain 6 degree ones, without the exceptions of Norway and Svalbard.
    """
    from affine import Affine
    from rasterio.warp import transform_bounds

    epsg = (32600 if lat >= 0 else 32700) + math.floor((lon + 180) / 6) + 1
    cell = (lon - 0.05, lat - 0.05, lon + 0.05, lat + 0.05)
    left, bottom, right, top = transform_bounds("EPSG:4326", f"EPSG:{epsg}", *cell)
    return TesseraGrid(
        epsg,
        Affine(PIXEL_METRES, 0.0, left, 0.0, -PIXEL_METRES, top),
        round((right - left) / PIXEL_METRES),
        round((top - bottom) / PIXEL_METRES),
    )
