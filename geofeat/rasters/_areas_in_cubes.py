"""Which parts of polygons lie in arrays of layers on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geofeat.rasters._areas import Areas, Claims, reasons_of, share_out
from geofeat.rasters._candidates import NO_COVERAGE, NO_YEAR
from geofeat.rasters._cubes import Cube, layer_positions, layers_of
from geofeat.rasters._footprints import Footprints, grid_box


def areas_in_cubes(
    polygons: np.ndarray,
    year: np.ndarray,
    cubes: Sequence[Cube],
    zones: Sequence[int] | None = None,
) -> Areas:
    """Parts of polygons in degrees; ground that several cubes hold goes to the first of them.

    Parameters
    ----------
    polygons : object array of shape (n,)
        In degrees, None where missing.
    year : int64 array of shape (n,)
        Year asked for by each polygon.
    cubes : sequence of Cube
        In the order of preference.
    zones : sequence of int, default=None
        The UTM zone, 1 to 60, whose ground each cube owns; None for cubes that own all that they
        reach.
    """
    if zones is None:
        boxes = [grid_box(cube.grid) for cube in cubes]
    else:
        boxes = [(6.0 * zone - 186.0, -90.0, 6.0 * zone - 180.0, 90.0) for zone in zones]
    shape, which, region = Footprints(np.array(boxes)).meeting(polygons)
    layer = layer_positions(cubes, which, year[shape])
    there = layer >= 0
    claims = Claims.cut(polygons, shape[there], layer[there], region[there])
    found = share_out(
        polygons,
        claims,
        layers_of(cubes),
        reasons_of(polygons),
        declared=False,
        exclusive=zones is None and len(cubes) > 1,
    )
    beside = shape[~there]
    found.reason[beside[found.reason[beside] == NO_COVERAGE]] = NO_YEAR
    return found
