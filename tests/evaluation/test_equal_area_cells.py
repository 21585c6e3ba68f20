"""Cells of one area: closed forms, Monte Carlo and brute force against the formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat._coordinates import EARTH_RADIUS_KM
from geofeat.evaluation._equal_area_cells import EqualAreaCells

SPHERE_KM2 = 4.0 * np.pi * EARTH_RADIUS_KM**2
# From the whole sphere in one cell to a metre.
SIZES_KM = [25000, 15000, 13000, 12000, 10000, 8000, 5000, 3000, 777, 100, 10, 0.5, 0.001]


def some_cells(cells, seed=0):
    """Cells at both poles, at random, and all of them where they are few."""
    if cells.n_cells <= 3000:
        return np.arange(cells.n_cells)
    drawn = np.random.default_rng(seed).integers(0, cells.n_cells, 3000)
    ends = np.arange(60)
    return np.unique(np.concatenate([drawn, ends, cells.n_cells - 1 - ends]))


def uniform_points(n, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def areas_km2(bounds):
    """Area between meridians and parallels; the product form keeps the digits of thin collars."""
    west, south, east, north = np.radians(bounds).T
    height = 2.0 * np.sin((north - south) / 2.0) * np.cos((north + south) / 2.0)
    return EARTH_RADIUS_KM**2 * (east - west) * height


@pytest.mark.parametrize("size", SIZES_KM)
def test_every_cell_has_the_same_area(size):
    cells = EqualAreaCells.of_size(size)
    area = areas_km2(cells.bounds_of(some_cells(cells)))
    # Degrees of a metre-sized cell near a pole have some 1e-8 relative digits left.
    assert_allclose(area, SPHERE_KM2 / cells.n_cells, rtol=1e-9 if size >= 100 else 5e-2)


@pytest.mark.parametrize("size", [3000, 777, 100, 10, 0.5, 0.001])
def test_cells_have_the_area_asked_for(size):
    assert_allclose(SPHERE_KM2 / EqualAreaCells.of_size(size).n_cells, size**2, rtol=0.01)


@pytest.mark.parametrize("size", SIZES_KM)
def test_the_middle_of_a_cell_lies_in_it(size):
    cells = EqualAreaCells.of_size(size)
    ids = some_cells(cells)
    west, south, east, north = cells.bounds_of(ids).T
    assert_array_equal(cells.cell_of((west + east) / 2, (south + north) / 2), ids)


@pytest.mark.parametrize("size", SIZES_KM)
def test_points_lie_within_the_bounds_of_their_cell(size):
    cells = EqualAreaCells.of_size(size)
    lon, lat = uniform_points(5000, seed=1)
    ids = cells.cell_of(lon, lat)
    assert ids.min() >= 0
    assert ids.max() < cells.n_cells
    west, south, east, north = cells.bounds_of(ids).T
    slack = 1e-9
    assert np.all((west - slack <= lon) & (lon <= east + slack))
    assert np.all((south - slack <= lat) & (lat <= north + slack))


@pytest.mark.parametrize("size", [12000, 10000, 8000, 5000, 2500])
def test_uniform_points_fill_the_cells_evenly(size):
    cells = EqualAreaCells.of_size(size)
    n = 400_000
    counts = np.bincount(cells.cell_of(*uniform_points(n, seed=2)), minlength=cells.n_cells)
    assert counts.size == cells.n_cells
    # Chi-squared has mean k - 1 and variance 2 (k - 1): five deviations.
    expected = n / cells.n_cells
    chi_squared = np.sum((counts - expected) ** 2 / expected)
    freedom = cells.n_cells - 1
    assert chi_squared < freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("size", [3000, 1000, 300, 100, 10])
def test_cells_are_nearly_square_and_the_poles_lie_in_caps(size):
    cells = EqualAreaCells.of_size(size)
    bounds = cells.bounds_of(some_cells(cells))
    cap = bounds[:, 2] - bounds[:, 0] == 360
    assert cap.sum() == 2
    assert {bounds[cap][0, 3], bounds[cap][1, 1]} == {90.0, -90.0}
    west, south, east, north = np.radians(bounds[~cap]).T
    ratio = (east - west) * np.cos((south + north) / 2) / (north - south)
    assert ratio.min() > 0.9
    assert ratio.max() < 1.4


@pytest.mark.parametrize("size", [5000, 500, 50])
def test_all_longitudes_meet_in_one_cell_at_a_pole(size):
    cells = EqualAreaCells.of_size(size)
    lon = np.linspace(-180, 179.9, 50)
    assert_array_equal(cells.cell_of(lon, np.full(50, 90.0)), 0)
    assert_array_equal(cells.cell_of(lon, np.full(50, -90.0)), cells.n_cells - 1)


def test_the_world_cut_by_hand():
    """Six cells: two caps, one collar of four; the parallels have 1/6 of the area beyond them."""
    cells = EqualAreaCells.of_size(np.sqrt(SPHERE_KM2 / 6))
    edge = np.degrees(np.arcsin(2 / 3))
    expected = [
        [-180, edge, 180, 90],
        [-180, -edge, -90, edge],
        [-90, -edge, 0, edge],
        [0, -edge, 90, edge],
        [90, -edge, 180, edge],
        [-180, -90, 180, -edge],
    ]
    assert_allclose(cells.bounds_of(np.arange(6)), expected, atol=1e-12)


@pytest.mark.parametrize("size", [2000, 300])
def test_rows_found_by_formula_equal_rows_found_by_search(size):
    cells = EqualAreaCells.of_size(size)
    edges = cells.cells_north_of(np.arange(cells.n_collars + 3))
    assert edges[0] == 0
    assert edges[-1] == cells.n_cells
    assert np.all(np.diff(edges) > 0)
    share = np.random.default_rng(3).uniform(0, cells.n_cells, 20_000)
    share[: edges.size - 1] = edges[:-1]  # on an edge: the row south of it
    assert_array_equal(cells.row_of(share), np.searchsorted(edges, share, side="right") - 1)
