"""Rules of decoding: codes of the Embedded Seamless Data, and vectors of zeros."""

import itertools

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import ArraySource, EmbeddingRasterSampler, RasterSource
from geofeat.exceptions import RasterMismatchError
from tests.rasters.writers import place_of, random_pixels, to_lonlat, write_raster

LEVELS = (8, 8, 8, 5, 5, 5)
GRID = Affine(30, 0, 500_000, 0, -30, 5_200_000)


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def split(code):
    """Six numbers of a code, digit by digit in plain Python."""
    numbers = []
    for level in LEVELS:
        code, digit = divmod(int(code), level)
        numbers.append((digit - level // 2) / (level // 2))
    return numbers


def join(digits):
    """The code whose digits these are."""
    code = 0
    for digit, level in zip(reversed(digits), reversed(LEVELS), strict=True):
        code = code * level + digit
    return code


@pytest.fixture
def codes():
    """Thirteen bands: codes of twelve months and their quality; one pixel of zeros."""
    stored = np.random.default_rng(0).integers(0, 64_000, (13, 24, 40)).astype(np.uint16)
    stored[:12, 3, 5] = 0
    stored[0, 4, 5] = 64_000  # no code
    return stored


def test_esd_codes_split_into_six_numbers_a_month(tmp_path, codes):
    path = write_raster(tmp_path / "SDC30_2020.tif", codes, crs="EPSG:32632", transform=GRID)
    points, row, col = random_pixels(300, 24, 40, GRID)
    row[:2], col[:2] = (3, 4), 5
    points[:2] = to_lonlat(*place_of(GRID, col[:2] + 0.5, row[:2] + 0.5), 32632)
    expected = np.array(
        [[split(codes[m, r, c]) for m in range(12)] for r, c in zip(row, col, strict=True)]
    ).reshape(300, 72)
    bad = ((row == 3) | (row == 4)) & (col == 5)
    expected[bad] = np.nan
    source = RasterSource(path, decode="esd")
    names = source.band_names
    assert names[:7] == (*(f"esd_m01_{i}" for i in range(1, 7)), "esd_m02_1")
    assert (len(names), names[-1]) == (72, "esd_m12_6")
    found, info = sampler(source).sample(points, return_info=True)
    assert_allclose(found, expected, rtol=1e-6)
    assert info.reason[:2].tolist() == ["nodata", "nodata"]
    some = sampler(source, bands=["esd_m11_2", 0, "esd_m11_1"]).transform(points)
    assert_array_equal(some[~bad], found[~bad][:, [61, 0, 60]])
    array = xr.DataArray(
        codes[:12],
        dims=("month", "y", "x"),
        coords={"y": 5_200_000 - 30 * (np.arange(24) + 0.5), "x": 5e5 + 30 * (np.arange(40) + 0.5)},
    )
    of_array = sampler(ArraySource(array, crs=32632, decode="esd"))
    assert_array_equal(of_array.transform(points), found)
    assert_array_equal(
        sampler(ArraySource(array.chunk({"x": 16, "y": 7}), crs=32632, decode="esd")).transform(
            points
        ),
        found,
    )


def test_every_digit_of_a_code_reaches_both_ends():
    for i, level in enumerate(LEVELS):
        digits = [0] * 6
        for digit in (0, level - 1):
            digits[i] = digit
            assert split(join(digits))[i] == (digit - level // 2) / (level // 2)
    assert join([level - 1 for level in LEVELS]) == 63_999
    for digits in itertools.islice(itertools.product(*map(range, LEVELS)), 0, 64_000, 777):
        back = [(d - n // 2) / (n // 2) for d, n in zip(digits, LEVELS, strict=True)]
        assert split(join(digits)) == back


def test_esd_needs_codes_of_twelve_months(tmp_path, codes):
    points, _, _ = random_pixels(3, 24, 40, GRID)
    few = write_raster(tmp_path / "a.tif", codes[:5], crs="EPSG:32632", transform=GRID)
    with pytest.raises(RasterMismatchError, match=r"a\.tif: has 5 bands, decode='esd' reads"):
        sampler(RasterSource(few, decode="esd")).transform(points)
    floats = codes.astype(np.float32)
    path = write_raster(tmp_path / "b.tif", floats, crs="EPSG:32632", transform=GRID)
    with pytest.raises(RasterMismatchError, match="holds float32 numbers, the codes of 'esd'"):
        sampler(RasterSource(path, decode="esd")).transform(points)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint8])
def test_zeros_in_all_bands_stand_for_nothing_a_single_zero_is_a_number(tmp_path, dtype):
    values = np.random.default_rng(1).integers(0, 3, (5, 24, 40)).astype(dtype)
    values[:, :5] = 0
    path = write_raster(tmp_path / "a.tif", values, crs="EPSG:32632", transform=GRID)
    points, row, col = random_pixels(400, 24, 40, GRID)
    pixels = values[:, row, col].T.astype(np.float32)
    nothing = (pixels == 0).all(axis=1)
    assert 50 < nothing.sum() < 350
    assert ((pixels == 0).any(axis=1) & ~nothing).sum() > 50
    found, info = sampler(RasterSource(path, nodata="zeros")).sample(points, return_info=True)
    assert_array_equal(found, np.where(nothing[:, None], np.nan, pixels))
    assert set(info.reason[nothing]) == {"nodata"}
    assert_array_equal(sampler(RasterSource(path)).transform(points), pixels)
    # As a number, 0 is nothing wherever it stands.
    found = sampler(RasterSource(path, nodata=0), missing="all").transform(points)
    assert_array_equal(found, np.where(pixels == 0, np.nan, pixels))
    array = xr.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={"y": 5_200_000 - 30 * (np.arange(24) + 0.5), "x": 5e5 + 30 * (np.arange(40) + 0.5)},
    )
    found = sampler(ArraySource(array, crs=32632, nodata="zeros")).transform(points)
    assert_array_equal(found, np.where(nothing[:, None], np.nan, pixels))


def test_a_raster_with_pixel_centres_on_the_poles(tmp_path):
    """721 rows of a quarter degree reach an eighth beyond either pole, and 1440 columns wrap."""
    transform = Affine(0.25, 0, -180.125, 0, -0.25, 90.125)
    values = np.random.default_rng(2).integers(1, 99, (2, 721, 1440)).astype(np.float32)
    values[:, 300:400, 100:300] = 0
    path = write_raster(tmp_path / "a.tif", values, crs="EPSG:4326", transform=transform)
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-180, 180, 500), rng.uniform(-90, 90, 500)])
    points[:6] = [[0, 90], [12.3, 89.95], [0, -90], [7, -89.9], [-180, 0.1], [180, 0.1]]
    lon = np.where(points[:, 0] == 180, -180, points[:, 0])
    # What lies east of the last column is the other half of the first, a turn further west.
    lon = np.where(lon >= 179.875, lon - 360, lon)
    row = ((90.125 - points[:, 1]) // 0.25).astype(int)
    col = ((lon + 180.125) // 0.25).astype(int)
    inside = col >= 0
    expected = values[:, row, np.maximum(col, 0)].T
    expected[(expected == 0).all(axis=1)] = np.nan
    axes = {"lat": 90 - 0.25 * np.arange(721), "lon": -180 + 0.25 * np.arange(1440)}
    array = xr.DataArray(values, dims=("band", "lat", "lon"), coords=axes)
    for source in (RasterSource(path, nodata="zeros"), ArraySource(array, nodata="zeros")):
        found = sampler(source).transform(points)
        assert_array_equal(found[inside], expected[inside])
        assert not np.isnan(found[:6]).any()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"decode": "linear"}, "decode must be one of"),
        ({"nodata": "nothing"}, "nodata must be a number or 'zeros'"),
        ({"decode": "aef", "nodata": 0}, "decode='aef' has nodata -128"),
    ],
)
def test_wrong_rules_are_refused_at_once(parameters, match):
    for kind, of in ((RasterSource, "a.tif"), (ArraySource, xr.DataArray(np.zeros((2, 2))))):
        with pytest.raises(ValueError, match=match):
            kind(of, **parameters)
