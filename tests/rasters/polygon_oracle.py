"""Weights of pixels and sums over polygons, pixel by pixel, by shapely and pyproj."""

import numpy as np
import shapely
from pyproj import Transformer

from tests.rasters.writers import place_of


def in_crs(shape, epsg, *, of=4326, step=1e-4):
    """Shape in another CRS, its edges cut finely first."""
    way = Transformer.from_crs(of, epsg, always_xy=True)
    return shapely.transform(shapely.segmentize(shape, step), way.transform, interleaved=False)


def fractions(shape, transform, height, width):
    """Share of each pixel that a shape in the raster's CRS covers, shape (height, width)."""
    row, col = np.nonzero(_near(shape, transform, height, width))
    corners = [
        np.stack(place_of(transform, col + right, row + down), axis=-1)
        for right, down in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    cells = shapely.polygons(np.stack(corners, axis=-2))
    found = np.zeros((height, width))
    found[row, col] = shapely.area(shapely.intersection(shape, cells)) / shapely.area(cells)
    return found


def _near(shape, transform, height, width):
    """Pixels whose centre lies within two sides of a pixel of the bounds of a shape."""
    col, row = np.meshgrid(np.arange(width), np.arange(height))
    x, y = place_of(transform, col + 0.5, row + 0.5)
    west, south, east, north = shape.bounds if not shape.is_empty else (0, 0, -1e9, -1e9)
    far = 2 * np.abs(transform[:6]).reshape(2, 3)[:, :2].max()
    return (x > west - far) & (x < east + far) & (y > south - far) & (y < north + far)


def centres_inside(shape, transform, height, width):
    """Pixels whose centre lies in a shape, as weights 0 and 1."""
    col, row = np.meshgrid(np.arange(width), np.arange(height))
    x, y = place_of(transform, col + 0.5, row + 0.5)
    return shapely.contains_xy(shape, x, y).astype(float)


def moments(parts):
    """Mean, standard deviation and weight of pairs (weights, values of (bands, height, width)).

    A pixel counts where all its bands are there.
    """
    total = square = weight = 0.0
    for weights, values in parts:
        known = ~np.isnan(values).any(axis=0) & (weights > 0)
        w, v = weights[known], values[:, known].astype(np.float64)
        total, square, weight = total + v @ w, square + v**2 @ w, weight + w.sum()
    mean = total / weight
    return mean, np.sqrt(square / weight - mean**2), weight
