"""Damaged files: the right values, NaN, or an error of ours; never anything else.

Formats without checksums cannot tell that a pixel was changed. What can be told apart is: values of
files that were not damaged must be right, whatever an index says of them.
"""

import resource
import sys
import warnings

import numpy as np
import pytest
from affine import Affine
from numpy.testing import assert_array_equal

from geofeat import (
    AlphaEarthSource,
    EmbeddingRasterSampler,
    RasterSource,
    TesseraSource,
)
from geofeat.exceptions import CoverageWarning, GeofeatError
from tests.rasters.damage import DAMAGES, damaged
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    random_bytes,
    random_pixels,
    tessera_geometry,
    write_index,
    write_raster,
    write_tessera,
)

VARIANTS = 10  # of each kind of damage
GRID = Affine(10, 0, 500_000, 0, -10, 5_200_000)

pytestmark = [
    # rasterio's word about a damaged header, before our error.
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.parametrize("damage", DAMAGES),
]


def outcomes(path, damage, sample):
    """Values, or None for an error of ours, of each damaged variant of a file."""
    good = path.read_bytes()
    for seed in range(VARIANTS):
        path.write_bytes(damaged(good, damage, np.random.default_rng([seed, *damage.encode()])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)
            try:
                yield sample()
            except (GeofeatError, FileNotFoundError):
                yield None
    path.write_bytes(good)


@pytest.fixture(autouse=True)
def _no_more_than_half_a_gigabyte():
    before = _peak_bytes()
    yield
    assert _peak_bytes() - before < 2**29


def _peak_bytes():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check(results, truth):
    """Whatever comes has the shape and dtype of the truth."""
    assert len(results) == VARIANTS
    for values in results:
        if values is not None:
            assert values.shape == truth.shape
            assert values.dtype == np.float32


@pytest.mark.parametrize("layout", ["band", "pixel"])
def test_geotiffs(layout, damage, tmp_path):
    stored = random_bytes(1, (8, 48, 48))
    path = tmp_path / "x.tif"
    write_raster(path, stored, crs="EPSG:32632", transform=GRID, nodata=-128, interleave=layout)
    places, row, col = random_pixels(40, 48, 48, GRID)
    truth = stored[:, row, col].T.astype(np.float32)

    def sample():
        return EmbeddingRasterSampler(RasterSource(path)).transform(places)

    assert_array_equal(sample(), truth)
    results = list(outcomes(path, damage, sample))
    check(results, truth)
    assert damage != "truncate" or any(values is None for values in results)
    assert_array_equal(sample(), truth)


@pytest.mark.parametrize("part", ["", "_scales"])
def test_tessera_tiles(part, damage, tmp_path):
    # So near the pole that a tile is a few pixels wide.
    lon, lat = 10.05, 83.95
    epsg, transform, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(0)
    stored = random_bytes(0, (height, width, 128))
    scales = rng.uniform(0.01, 0.1, (height, width)).astype(np.float32)
    folder = tmp_path / "global_0.1_degree_representation" / "2024"
    tile = write_tessera(
        folder, lon, lat, stored, scales, landmask_folder=tmp_path / "global_0.1_degree_tiff_all"
    )
    places, row, col = random_pixels(40, height, width, transform, epsg)
    truth = stored[row, col].astype(np.float32) * scales[row, col, None]

    def sample():
        return EmbeddingRasterSampler(TesseraSource(tmp_path), year=2024).transform(places)

    with pytest.warns(CoverageWarning):  # the corners belong to the next cells
        whole = sample()
    covered = ~np.isnan(whole[:, 0])
    assert covered.sum() > 20
    assert_array_equal(whole[covered], truth[covered])
    path = tile.with_name(tile.name.replace(".npy", f"{part}.npy"))
    results = list(outcomes(path, damage, sample))
    check(results, truth)
    if damage in {"truncate", "insert"}:  # lengths are checked
        assert results == [None] * VARIANTS


@pytest.mark.parametrize("kind", ["parquet", "stac-parquet", "csv"])
def test_indexes_of_files_that_are_whole(kind, damage, seam, seam_points, tmp_path):
    points = seam_points[:60]
    possible = [pixels_of(file, points) for file in seam.files if file.year == 2022]
    path = write_index(seam, kind, tmp_path)

    def sample():
        source = AlphaEarthSource(path, root=seam.root)
        return EmbeddingRasterSampler(source, year=2022).transform(points)

    results = list(outcomes(path, damage, sample))
    check(results, possible[0])
    for values in results:
        if values is not None:  # of one of the two files of the year, or none
            right = [np.all((values == one) | np.isnan(values), axis=1) for one in possible]
            assert np.logical_or(*right).all()


def pixels_of(file, points):
    """Values of one whole file at points, infinite beyond it."""
    values = np.full((len(points), 64), np.inf, np.float32)
    x, y = from_lonlat(*points.T, file.epsg)
    col, row = np.floor((x - file.west) / 10), np.floor((y - file.south) / 10)
    inside = (col >= 0) & (row >= 0) & (col < 64) & (row < 64)
    at = row[inside].astype(int), col[inside].astype(int)
    values[inside] = alphaearth_values(file.stored[:, at[0], at[1]]).T
    return values
