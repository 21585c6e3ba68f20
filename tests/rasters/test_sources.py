"""Rasters of any product: grids, decoding, overlap, the source an argument means."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from rasterio.shutil import copy as gdal_copy

from geofeat import (
    AlphaEarthSource,
    ArraySource,
    EmbeddingRasterSampler,
    RasterSource,
    TesseraSource,
)
from geofeat.exceptions import (
    CorruptFileError,
    LimitError,
    RasterMismatchError,
    SourceError,
)
from geofeat.rasters._raster_files import raster_paths, year_in_path
from geofeat.rasters._sources import open_source
from tests.rasters.conftest import block_planes
from tests.rasters.writers import (
    place_of,
    random_bytes,
    random_pixels,
    to_lonlat,
    write_alphaearth,
    write_raster,
    write_tessera,
)

NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_200_400)
RNG = np.random.default_rng(11)
FRESH = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers_in_any_order_of_tests():
    RNG.bit_generator.state = FRESH


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def write_float(path, values=None, transform=NORTH_UP, **profile):
    values = RNG.normal(size=(5, 40, 70)).astype(np.float32) if values is None else values
    return write_raster(path, values, crs="EPSG:32632", transform=transform, **profile), values


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"interleave": "pixel"},
        {"interleave": "pixel", "compress": None},
        {"tiled": False, "blockxsize": None, "blockysize": 1},
        {"tiled": False, "blockxsize": None, "blockysize": 7, "interleave": "pixel"},
        {"compress": "deflate", "blockxsize": 32},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "int8"])
def test_layouts_and_types(tmp_path, profile, dtype, reads):
    values = (RNG.normal(size=(5, 40, 70)) * 30).clip(0, 120).astype(dtype)
    path, _ = write_float(tmp_path / "a.tif", values, **profile)
    points, row, col = random_pixels(300, 40, 70, NORTH_UP)
    assert_array_equal(
        sampler(RasterSource(path)).transform(points), values[:, row, col].T.astype(np.float32)
    )
    with rasterio.open(path) as file:
        height, width = file.block_shapes[0]
    decoded = [
        (i, j, band)
        for _, r, c, h, w, bands in reads
        for i in range(r // height, -(-(r + h) // height))
        for j in range(c // width, -(-(c + w) // width))
        for band in bands
    ]
    assert len(decoded) == len(set(decoded))
    touched = {(r // height, c // width) for r, c in zip(row, col, strict=True)}
    assert {(i, j) for i, j, _ in decoded} == touched


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, 10, 5_200_000),
        Affine(-10, 0, 500_700, 0, -10, 5_200_400),
        Affine(7, 3, 500_000, 4, -8, 5_200_400),
    ],
    ids=["south-up", "east-left", "rotated"],
)
def test_any_geotransform_is_read_as_it_lies(tmp_path, transform):
    path, values = write_float(tmp_path / "a.tif", transform=transform)
    points, row, col = random_pixels(300, 40, 70, transform)
    assert_array_equal(sampler(path).transform(points), values[:, row, col].T)


def test_points_on_shared_edges_belong_to_the_higher_index_and_far_edges_to_nobody(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    path = write_raster(
        tmp_path / "a.tif", values, crs="EPSG:4326", transform=Affine(1, 0, 10, 0, -1, 53)
    )
    points = [[10.0, 53.0], [11.0, 52.0], [13.5, 50.5], [14.0, 51.0], [11.0, 50.0], [9.999, 52]]
    expected = [0, 5, 11, np.nan, np.nan, np.nan]
    assert_array_equal(sampler(path).transform(points)[:, 0], expected)
    wide = sampler(RasterSource(path, edge_tolerance=0.5)).transform(
        [[14.4, 51.5], [9.6, 52.5], [14.6, 51.5]]
    )
    assert_array_equal(wide[:, 0], [7, 0, np.nan])


def test_a_raster_that_counts_longitude_from_0_to_360(tmp_path):
    values = np.arange(36 * 18, dtype=np.float32).reshape(1, 18, 36)
    path = write_raster(
        tmp_path / "a.tif", values, crs="EPSG:4326", transform=Affine(10, 0, 0, 0, -10, 90)
    )
    points = np.array([[-5.0, 45.0], [5.0, 45.0], [180.0, -5.0], [-180.0, -5.0], [-175.0, 89.0]])
    col = ((points[:, 0] % 360) // 10).astype(int)
    row = ((90 - points[:, 1]) // 10).astype(int)
    assert_array_equal(sampler(path).transform(points)[:, 0], values[0, row, col])


def test_nodata_and_masks_become_nan(tmp_path):
    values = RNG.normal(size=(2, 16, 16)).astype(np.float32)
    values[0, 3, 4] = values[:, 5, 6] = -9999
    path, _ = write_float(tmp_path / "nodata.tif", values, nodata=-9999)
    points = to_lonlat(
        *place_of(NORTH_UP, np.array([4.5, 6.5, 8.5]), np.array([3.5, 5.5, 8.5])), 32632
    )
    whole, info = sampler(path).sample(points, return_info=True)
    assert_array_equal(np.isnan(whole).all(axis=1), [True, True, False])
    assert info.reason.tolist() == ["nodata", "nodata", "ok"]
    partly = sampler(path, missing="all").transform(points)
    assert_array_equal(np.isnan(partly), [[True, False], [True, True], [False, False]])
    assert partly[0, 1] == values[1, 3, 4]
    masked, _ = write_float(tmp_path / "masked.tif", np.abs(values))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as file:
        mask = np.full((16, 16), 255, np.uint8)
        mask[8, 8] = 0
        file.write_mask(mask)
    assert_array_equal(np.isnan(sampler(masked).transform(points)[:, 0]), [False, False, True])


def test_scale_and_offset_of_each_band_are_applied_on_request(tmp_path):
    stored = RNG.integers(0, 255, (3, 16, 16)).astype(np.uint8)
    stored[0, 3:6] = 7
    scales, offsets = [0.5, 2.0, 1.0], [-3.0, 0.0, 10.0]
    for name, numbers in (("bytes", stored), ("words", stored.astype(np.int16) * 100)):
        path, _ = write_float(
            tmp_path / f"{name}.tif", numbers, nodata=7 if name == "bytes" else 700
        )
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = scales, offsets
        points, row, col = random_pixels(200, 16, 16, NORTH_UP)
        expected = numbers[:, row, col].T * np.array(scales) + offsets
        missing = (stored[:, row, col].T == 7).any(axis=1)
        expected[missing] = np.nan
        assert missing.any()
        decoded = sampler(RasterSource(path, decode="scale_offset")).transform(points)
        assert_allclose(decoded, expected, rtol=1e-6)
        plain = sampler(RasterSource(path)).transform(points)
        assert_array_equal(plain[~missing], numbers[:, row, col].T[~missing].astype(np.float32))


def test_overlapping_rasters_first_interior_and_mean(tmp_path):
    first = RNG.normal(size=(2, 40, 40)).astype(np.float32)
    second = RNG.normal(size=(2, 40, 40)).astype(np.float32)
    first[:, :, 35:] = -1.0
    shifted = Affine(10, 0, 500_200, 0, -10, 5_200_400)
    a, _ = write_float(tmp_path / "a.tif", first, nodata=-1.0)
    b, _ = write_float(tmp_path / "b.tif", second, transform=shifted)
    rng = np.random.default_rng(0)
    col, row = rng.integers(0, 60, 400), rng.integers(0, 40, 400)
    points = to_lonlat(*place_of(NORTH_UP, col + 0.5, row + 0.5), 32632)
    in_a = col < 35
    in_b = col >= 20
    value_a = np.where(in_a, first[:, row, np.minimum(col, 39)], np.nan)
    value_b = np.where(in_b, second[:, row, np.maximum(col - 20, 0)], np.nan)
    expected = {
        "first": np.where(in_a, value_a, value_b),
        "mean": np.where(in_a & in_b, (value_a + value_b) / 2, np.where(in_a, value_a, value_b)),
    }
    depth_a = np.minimum(np.minimum(col + 0.5, 39.5 - col), np.minimum(row + 0.5, 39.5 - row))
    depth_b = np.minimum(np.minimum(col - 19.5, 59.5 - col), np.minimum(row + 0.5, 39.5 - row))
    nearer_b = (depth_b > depth_a) & in_b
    expected["interior"] = np.where((nearer_b | ~in_a), value_b, value_a)
    for overlap, values in expected.items():
        sampled, info = sampler(RasterSource([a, b], overlap=overlap)).sample(
            points, return_info=True
        )
        assert_allclose(sampled, values.T.astype(np.float32), rtol=1e-6, err_msg=overlap)
        assert (info.reason == "ok").all()
    last_first = sampler(RasterSource([b, a])).transform(points)
    assert_array_equal(last_first, np.where(in_b, value_b, value_a).T.astype(np.float32))


def test_empty_pixels_are_served_from_the_next_raster_without_reading_a_block_twice(
    tmp_path, reads
):
    first = RNG.normal(size=(2, 64, 64)).astype(np.float32)
    second = RNG.normal(size=(2, 64, 64)).astype(np.float32)
    first[:, RNG.random((64, 64)) < 0.5] = -1.0
    a, _ = write_float(tmp_path / "a.tif", first, nodata=-1.0)
    shifted = Affine(10, 0, 500_320, 0, -10, 5_200_400)
    b, _ = write_float(tmp_path / "b.tif", second, transform=shifted)
    rng = np.random.default_rng(0)
    col, row = rng.integers(0, 96, 1000), rng.integers(0, 64, 1000)
    points = to_lonlat(*place_of(NORTH_UP, col + 0.5, row + 0.5), 32632)
    values = sampler(RasterSource([a, b])).transform(points)
    from_a = np.where(col < 64, first[0, row, np.minimum(col, 63)], -1)
    from_b = np.where(col >= 32, second[0, row, np.maximum(col - 32, 0)], np.nan)
    assert_array_equal(values[:, 0], np.where(from_a != -1, from_a, from_b))
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes))


def test_rasters_in_different_reference_systems_are_each_sampled_in_their_own(tmp_path):
    west, a = write_float(tmp_path / "west.tif")
    values = RNG.normal(size=(5, 30, 30)).astype(np.float32)
    degrees = Affine(0.001, 0, 10.0, 0, -0.001, 48.0)
    east = write_raster(tmp_path / "east.tif", values, crs="EPSG:4326", transform=degrees)
    points, row, col = random_pixels(50, 40, 70, NORTH_UP)
    rng = np.random.default_rng(1)
    j, i = rng.integers(0, 30, 50), rng.integers(0, 30, 50)
    both = np.concatenate([points, np.column_stack(place_of(degrees, j + 0.5, i + 0.5))])
    sampled = sampler(RasterSource([west, east])).transform(both)
    assert_array_equal(sampled, np.concatenate([a[:, row, col].T, values[:, i, j].T]))


def test_years_of_files(tmp_path):
    paths = {}
    values = {}
    for year in (2020, 2021):
        paths[year], values[year] = write_float(tmp_path / f"{year}.tif")
    points, row, col = random_pixels(20, 40, 70, NORTH_UP)
    years = np.where(np.arange(20) % 2, 2020, 2021)
    expected = np.stack([values[y][:, r, c] for y, r, c in zip(years, row, col, strict=True)])
    frame = pd.DataFrame({"path": list(paths.values()), "year": list(paths)})
    for twice in (frame, paths):
        with pytest.raises(ValueError, match="already tell"):
            RasterSource(twice, year=2020).years  # noqa: B018
    with pytest.raises(ValueError, match=r"column year is missing in 1 of 2 rows \(1\)"):
        RasterSource(frame.assign(year=[2020, None])).years  # noqa: B018
    assert RasterSource(paths[2020], year=2020.0).years == (2020,)
    for source in (
        RasterSource(frame[["path"]], year=[2020.0, pd.Timestamp("2021-03-01")]),
        RasterSource(frame.assign(year=pd.to_datetime(["2020-01-01", "2021-12-31"]))),
        RasterSource(paths),
        RasterSource(list(paths.values()), year=[2020, 2021]),
        RasterSource(frame),
    ):
        assert source.years == (2020, 2021)
        assert_array_equal(sampler(source, year=years).transform(points), expected)
        with pytest.raises(ValueError, match="2020, 2021"):
            sampler(source).transform(points)
    with pytest.raises(ValueError, match="carry no year"):
        sampler(paths[2020], year=2020).transform(points)


def test_rasters_of_different_kinds_are_refused_before_reading(tmp_path):
    a, _ = write_float(tmp_path / "a.tif")
    b, _ = write_float(tmp_path / "b.tif", np.ones((4, 40, 70), np.float32))
    with pytest.raises(RasterMismatchError, match=r"4 float32 bands, .*a\.tif has 5") as caught:
        sampler(RasterSource([a, b])).transform([[9.0, 46.95]])
    assert caught.value.path == b


def test_rasters_whose_bands_have_other_names_or_another_order_are_refused(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    first, values = write_float(tmp_path / "a.tif", names=names)
    turned, _ = write_float(tmp_path / "b.tif", names=["b", "a", "c", "d", "e"])
    with pytest.raises(RasterMismatchError, match=r"band 1 'b', .*a\.tif calls it 'a'") as caught:
        sampler(RasterSource([first, turned])).transform([[9.0, 46.95]])
    assert caught.value.path == turned
    nameless, _ = write_float(tmp_path / "c.tif")
    points, row, col = random_pixels(20, 40, 70, NORTH_UP)
    sampled = sampler(RasterSource([first, nameless])).transform(points)
    assert_array_equal(sampled, values[:, row, col].T)


@pytest.mark.parametrize("overlap", ["first", "interior", "mean"])
def test_a_raster_that_contains_a_point_goes_before_one_that_nearly_does(tmp_path, overlap):
    west, east = (np.full((1, 16, 16), value, np.float32) for value in (1.0, 2.0))
    east[0, 0, 0] = -1
    beside = Affine(10, 0, 500_160, 0, -10, 5_200_400)
    a, _ = write_float(tmp_path / "a.tif", west)
    b, _ = write_float(tmp_path / "b.tif", east, transform=beside, nodata=-1)
    col = np.array([16.2, 15.8, 16.2, -0.3, 32.3, -0.6])
    row = np.array([5.5, 5.5, 0.5, 5.5, 5.5, 5.5])
    points = to_lonlat(*place_of(NORTH_UP, col, row), 32632)
    for paths in ([a, b], [b, a]):
        source = RasterSource(paths, overlap=overlap, edge_tolerance=0.5)
        values, info = sampler(source).sample(points, return_info=True)
        assert_array_equal(values[:, 0], [2, 1, np.nan, 1, 2, np.nan])
        assert info.reason.tolist() == ["ok", "ok", "nodata", "ok", "ok", "no_coverage"]
        assert info.file.tolist()[:5] == [b, a, b, a, b]


def test_a_file_deleted_after_the_source_looked_at_it_is_an_error(tmp_path):
    path, _ = write_float(tmp_path / "a.tif")
    other, _ = write_float(tmp_path / "b.tif")
    points, _, _ = random_pixels(10, 40, 70, NORTH_UP)
    for named in ([path, other], str(tmp_path)):
        task = sampler(RasterSource(named))
        task.transform(points)
        kept = (tmp_path / "a.tif").rename(tmp_path / "away")
        with pytest.raises(SourceError, match=r"a\.tif.* is gone"):
            task.transform(points)
        kept.rename(path)


def test_a_pattern_finds_rasters_and_a_virtual_one_only_when_it_says_so(tmp_path):
    path, _ = write_float(tmp_path / "a.tif")
    gdal_copy(path, tmp_path / "b.vrt", driver="VRT")
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "folder").mkdir()
    for pattern in ("*", "a*", "?.*", "**/*"):
        assert raster_paths(str(tmp_path / pattern)) == [path]
    assert raster_paths(tmp_path / "*.vrt") == [str(tmp_path / "b.vrt")]
    assert raster_paths([path, tmp_path / "b.vrt"]) == [path, str(tmp_path / "b.vrt")]
    with pytest.raises(FileNotFoundError, match="no file matches"):
        raster_paths(str(tmp_path / "b*"))


@pytest.mark.parametrize(
    ("path", "year"),
    [
        ("annual/2022/32N/xm8mdfftcd7ymnjc1-0000000000-0000008192.tiff", 2022),
        ("aef_2023.tif", 2023),
        ("2023_aef.tif", 2023),
        ("1985/batch-2048/aef_2019_7.tif", 2019),
        ("archive/2020/copies/2021/aef.tif", 2021),
        ("2021/32N/x_2021-0000001024.tif", 2021),
        ("2016/x_9999.tif", None),
        ("32N/x2022.tif", None),
    ],
)
def test_years_in_paths(path, year):
    assert year_in_path(path) == year


@pytest.mark.parametrize("path", ["2020/aef_2023.tif", "aef_2020_2023.tif"])
def test_a_path_that_tells_two_years_is_refused(path):
    with pytest.raises(ValueError, match=rf"{path} says 2020 and 2023, give year="):
        year_in_path(path)


def test_files_that_cannot_serve_are_named(tmp_path):
    with rasterio.open(
        tmp_path / "bare.tif",
        "w",
        driver="GTiff",
        width=16,
        height=16,
        count=1,
        dtype="uint8",
        transform=NORTH_UP,
    ):
        pass
    with pytest.raises(SourceError, match="no coordinate reference system"):
        sampler(str(tmp_path / "bare.tif")).transform([[9, 47]])
    (tmp_path / "text.tif").write_text("<VRTDataset></VRTDataset>")
    with pytest.raises(CorruptFileError, match="GTiff"):
        sampler(str(tmp_path / "text.tif")).transform([[9, 47]])
    with pytest.raises(FileNotFoundError, match=r"nothing\.tif"):
        sampler(str(tmp_path / "nothing.tif")).transform([[9, 47]])
    with pytest.raises(SourceError, match="not a local file"):
        sampler("/vsicurl/https://example.org/a.tif").transform([[9, 47]])
    with pytest.raises(FileNotFoundError, match="no file matches"):
        RasterSource(str(tmp_path / "*.jp2")).band_names  # noqa: B018


def test_a_virtual_raster_disguised_as_a_tiff_is_not_followed(tmp_path):
    path, _ = write_float(tmp_path / "a.tif")
    gdal_copy(path, tmp_path / "named.vrt", driver="VRT")
    (tmp_path / "disguised.tif").write_bytes((tmp_path / "named.vrt").read_bytes())
    points, _, _ = random_pixels(10, 40, 70, NORTH_UP)
    assert_array_equal(
        sampler(str(tmp_path / "named.vrt")).transform(points), sampler(path).transform(points)
    )
    with pytest.raises(CorruptFileError):
        sampler(str(tmp_path / "disguised.tif")).transform(points)


def test_a_truncated_file_is_named_with_the_window(tmp_path):
    path, _ = write_float(tmp_path / "a.tif", compress=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 2 // 3])
    points, _, _ = random_pixels(200, 40, 70, NORTH_UP)
    with pytest.raises(CorruptFileError, match=r"rows \d+ to \d+, columns \d+ to \d+") as caught:
        sampler(path).transform(points)
    assert caught.value.path == path


def test_huge_blocks_are_refused_before_they_are_decoded(tmp_path):
    path, values = write_float(tmp_path / "a.tif", blockxsize=64, blockysize=64)
    points, row, col = random_pixels(10, 40, 70, NORTH_UP)
    with pytest.raises(LimitError, match="max_block_bytes=16384"):
        sampler(RasterSource(path, max_block_bytes=10_000)).transform(points)
    raised = sampler(RasterSource(path, max_block_bytes=16_384))
    assert_array_equal(raised.transform(points), values[:, row, col].T)


def test_a_file_replaced_after_the_source_looked_at_it_is_an_error(tmp_path):
    path, _ = write_float(tmp_path / "a.tif")
    points, _, _ = random_pixels(10, 40, 70, NORTH_UP)
    task = sampler(RasterSource(path))
    task.transform(points)
    write_float(tmp_path / "a.tif", np.ones((5, 40, 71), np.float32))
    with pytest.raises(SourceError, match="has changed"):
        task.transform(points)


def test_band_names_come_from_the_file(tmp_path):
    named, _ = write_float(tmp_path / "a.tif", names=["ndvi", "b2", "b3", "b4", "b5"])
    plain, _ = write_float(tmp_path / "b.tif")
    assert RasterSource(named).band_names == ("ndvi", "b2", "b3", "b4", "b5")
    assert RasterSource(plain).band_names[:2] == ("band_001", "band_002")


def test_an_argument_gets_the_source_that_fits(tmp_path, seam):
    plain, _ = write_float(tmp_path / "plain" / "a.tif")
    write_tessera(
        tmp_path / "tiles" / "2024",
        10.05,
        87.05,
        np.ones((1, 1, 128), np.int8),
        np.ones((1, 1), "f4"),
    )
    seam.index.to_parquet(tmp_path / "aef_index.parquet")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "zarr.json").write_text("{}")
    pd.DataFrame({"embedding": [[1.0]]}).to_parquet(tmp_path / "patches.parquet")
    array = xr.DataArray(np.zeros((1, 4, 4)), dims=("band", "y", "x"))
    for argument, kind in [
        (plain, RasterSource),
        (tmp_path / "plain", RasterSource),
        (str(tmp_path / "plain" / "*.tif"), RasterSource),
        ([plain], RasterSource),
        (pd.DataFrame({"path": [plain]}), RasterSource),
        (tmp_path / "tiles", TesseraSource),
        (seam.root, AlphaEarthSource),
        (seam.files[0].path, AlphaEarthSource),
        ([file.path for file in seam.files], AlphaEarthSource),
        (tmp_path / "aef_index.parquet", AlphaEarthSource),
        (array, ArraySource),
    ]:
        assert type(open_source(argument)) is kind
    nameless = write_alphaearth(
        tmp_path / "b.tif", random_bytes(1, (64, 16, 16)), epsg=32632, west=5e5, south=5.2e6
    )
    with rasterio.open(nameless, "r+") as file:
        file.set_band_description(1, "")
    with pytest.raises(ValueError, match="Say what they are"):
        open_source(nameless)
    with pytest.raises(TypeError, match="int"):
        open_source(3)
