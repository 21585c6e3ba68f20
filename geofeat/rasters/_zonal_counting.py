"""What polygons would cost to read, counted before any pixel is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from geofeat.rasters._areas import Areas, representative_points
from geofeat.rasters._candidates import OK, Candidates
from geofeat.rasters._sampling import count_reasons, count_windows, locate
from geofeat.rasters._sources import Source
from geofeat.rasters._zonal_pieces import cut_into_pieces, pixels_of_pieces
from geofeat.rasters._zonal_reading import locate_zones


def count_zones(
    source: Source,
    polygons: np.ndarray,
    year: np.ndarray,
    bands: np.ndarray,
    fallback: str | None,
    statistic: str,
) -> list[dict[str, Any]]:
    """Count, for each year, polygons by reason, and the files, blocks and bytes to be read."""
    areas, used, flat = locate_zones(source, polygons, year, fallback)
    records = []
    for one in np.unique(used).tolist():
        here = used == one
        rows = np.flatnonzero(here & flat)
        points, _ = locate(source, *representative_points(polygons[rows]), used[rows], fallback)
        reason = areas.reason.copy()
        reason[rows] = points.reason
        absent = set(areas.absent_file[here].tolist()) | set(points.absent_file.tolist())
        mine = here[areas.polygon]
        parts = _parts(source, _some(areas, mine), polygons, used, here, statistic)
        records.append(
            {
                "year": one,
                **count_reasons(reason[here]),
                "absent_files": len(absent - {-1}),
                **count_windows(source, parts, bands),
            }
        )
    return records


def _some(areas: Areas, kept: np.ndarray) -> Areas:
    return areas._replace(
        polygon=areas.polygon[kept],
        file=areas.file[kept],
        part=areas.part[kept],
        size=areas.size[kept],
    )


def _parts(
    source: Source,
    areas: Areas,
    polygons: np.ndarray,
    year: np.ndarray,
    here: np.ndarray,
    statistic: str,
) -> Iterator[tuple[Candidates, np.ndarray]]:
    """Pixels of polygons batch by batch, then those of polygons that are served as points."""
    seen = np.zeros(polygons.size, dtype=bool)
    for pixels in pixels_of_pieces(areas, cut_into_pieces(areas), statistic):
        seen[pixels.group] = True
        n = pixels.group.size
        nothing = np.full(n, -1)
        reason = np.full(n, OK, dtype=np.uint8)
        yield (
            Candidates(
                np.arange(n), pixels.file, pixels.row, pixels.col, reason, areas.files, [], nothing
            ),
            np.arange(n),
        )
    there = np.array([shape is not None for shape in polygons], dtype=bool)
    rows = np.flatnonzero(here & ~seen & there)
    if rows.size:
        points = source.locate(*representative_points(polygons[rows]), year[rows])
        starts = points.first_of_points()
        yield points, starts[:-1][starts[1:] > starts[:-1]]
