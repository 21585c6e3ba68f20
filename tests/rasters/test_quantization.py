"""Embeddings stored as bytes: error bounds, missing values, layouts, and what samplers read."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal

from geofeat import (
    AlphaEarthSource,
    ArraySource,
    EmbeddingRasterSampler,
    RandomFourierFeatures,
    RasterSource,
    SphericalHarmonicsEncoder,
    TesseraSource,
    dequantize,
    embed_grid,
    quantize,
)
from geofeat.datasets import _product_files
from tests.rasters.writers import (
    place_of,
    random_bytes,
    tessera_geometry,
    to_lonlat,
    write_alphaearth,
    write_tessera,
)

ALL_CODES = np.arange(-127, 128, dtype=np.int8)
shapes = array_shapes(min_dims=2, max_dims=2, max_side=9)


def unit_vectors(*shape, seed=0):
    vectors = np.random.default_rng(seed).normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def signed_square(stored):
    """What a stored AlphaEarth number stands for, in float64."""
    return np.sign(stored) * (stored / 127.5) ** 2


def aef_bound(values):
    """Half a step in the domain of the square root, exactly: |s - q| <= 1/2 for s = 127.5 sqrt."""
    return np.sqrt(np.abs(values)) / 127.5 + 0.25 / 127.5**2


@settings(deadline=None)  # compiles kernels
@given(
    arrays(st.sampled_from([np.float32, np.float64]), shapes, elements=st.floats(-1, 1, width=16))
)
def test_alphaearth_bytes_are_within_half_a_step(vectors):
    error = np.abs(signed_square(quantize(vectors, "aef").astype(float)) - vectors)
    assert (error <= aef_bound(vectors) + 1e-15).all()


def test_the_bound_of_alphaearth_bytes_is_the_best():
    """It is met just above the middle between two codes, where the larger one is taken."""
    values = (np.arange(0.5, 127)[:, None] / 127.5) ** 2 * (1 + 1e-12)
    for sign in (1, -1):
        error = np.abs(signed_square(quantize(sign * values, "aef").astype(float)) - sign * values)
        np.testing.assert_allclose(error, aef_bound(values), rtol=1e-7)
    assert 0.25 / 127.5**2 < 1.6e-5  # as the documentation says


@settings(deadline=None)  # compiles kernels
@given(
    arrays(
        st.sampled_from([np.float32, np.float64]),
        shapes,
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    )
)
def test_tessera_bytes_are_within_half_a_scale(vectors):
    stored, scales = quantize(vectors, "tessera")
    assert scales.dtype == np.float32
    assert (scales >= np.float32(1e-8)).all()
    error = np.abs(stored * scales[:, None].astype(float) - vectors)
    assert (error <= scales[:, None] / 2 * (1 + 1e-5)).all()
    largest = np.abs(vectors).max(axis=1)
    np.testing.assert_allclose(scales, np.maximum(largest / 127, 1e-8), rtol=1e-7)


@settings(deadline=None)  # compiles kernels
@given(arrays(np.float32, shapes, elements=st.floats(-1, 1, width=32)))
def test_float32_results_are_the_stored_numbers_rounded(vectors):
    stored = quantize(vectors, "aef")
    values = dequantize(stored)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, signed_square(stored.astype(float)), rtol=3e-7)
    assert (np.abs(values - vectors.astype(float)) <= aef_bound(vectors) + 3e-7).all()
    stored, scales = quantize(vectors, "tessera")
    assert_array_equal(dequantize(stored, scales), stored * scales[:, None])


def test_every_byte_comes_back():
    codes = ALL_CODES[:, None]
    assert_array_equal(quantize(dequantize(codes), "aef"), codes)
    stored = np.random.default_rng(0).integers(-127, 128, (300, 8), dtype=np.int8)
    stored[:, 0] = 127
    scales = np.random.default_rng(1).uniform(1e-6, 1e6, 300).astype(np.float32)
    again, scales_again = quantize(dequantize(stored, scales), "tessera")
    assert_array_equal(again, stored)
    np.testing.assert_allclose(scales_again, scales, rtol=2e-7)


def test_the_simulated_products_hold_the_same_bytes():
    """Their writers are an implementation of its own."""
    vectors = unit_vectors(500, 64)
    vectors[7, 3] = np.nan
    expected = _product_files.quantize_alphaearth(vectors.T.copy())
    assert_array_equal(quantize(vectors, "aef").T, expected)
    values = np.random.default_rng(2).normal(size=(500, 128)) * 5
    for found, wanted in zip(
        quantize(values, "tessera"), _product_files.quantize_tessera(values), strict=True
    ):
        assert_array_equal(found, wanted)


@pytest.mark.parametrize("form", ["aef", "tessera"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_vector_with_nan_is_missing_as_a_whole(form, normalize):
    vectors = unit_vectors(6, 5)
    vectors[1, 0] = vectors[2, 4] = vectors[4] = np.nan
    stored = quantize(vectors, form, normalize=normalize)
    scales = ()
    if form == "tessera":
        stored, scales = stored
        assert_array_equal(scales == 0, [0, 1, 1, 0, 1, 0])
        scales = (scales,)
    assert_array_equal(stored[[1, 2, 4]], np.full((3, 5), -128 if form == "aef" else 0))
    decoded = dequantize(stored, *scales)
    assert_array_equal(np.isnan(decoded), np.isin(np.arange(6), [1, 2, 4])[:, None] & [[True] * 5])
    np.testing.assert_allclose(decoded[[0, 3, 5]], vectors[[0, 3, 5]], atol=0.01)


@pytest.mark.parametrize("length", [1e-30, 1e-3, 1.0, 40.0, 1e30])
@pytest.mark.parametrize("form", ["aef", "tessera"])
def test_normalised_vectors_are_those_of_length_1(form, length):
    vectors = unit_vectors(50, 8)
    found = quantize(length * vectors, form, normalize=True)
    expected = quantize(vectors, form)
    if form == "tessera":
        np.testing.assert_allclose(found[1], expected[1], rtol=2e-7)
        found, expected = found[0], expected[0]
    assert_array_equal(found, expected)


def test_roundings_beyond_1_are_no_error_but_more_is():
    nearly = np.array([[np.nextafter(np.float32(1), np.float32(2)), 0]])
    assert_array_equal(quantize(nearly, "aef"), [[127, 0]])
    with pytest.raises(ValueError, match=r"stores components in \[-1, 1\], got 1.5: .*normalize"):
        quantize([[1.5, 0], [np.nan, 0]], "aef")


@pytest.mark.parametrize("form", ["aef", "tessera"])
def test_what_cannot_be_stored_is_refused(form):
    with pytest.raises(ValueError, match="vectors hold inf"):
        quantize([[0.1, np.inf]], form)
    with pytest.raises(ValueError, match="1 vectors have length 0"):
        quantize([[0.0, 0.0], [1.0, 0.0]], form, normalize=True)
    for values in (np.array([["a"]]), np.array([[1j]])):
        with pytest.raises(TypeError, match="vectors must hold real numbers"):
            quantize(values, form)


def test_numbers_beyond_float32_need_a_shorter_vector():
    with pytest.raises(ValueError, match="float32 scales, too small for 1e\\+60"):
        quantize([[1e60, 0.0]], "tessera")
    stored, scales = quantize([[1e60, 0.0]], "tessera", normalize=True)
    np.testing.assert_allclose(dequantize(stored, scales), [[1, 0]], rtol=1e-6)


def test_other_forms_and_types_are_refused():
    with pytest.raises(ValueError, match="form must be 'aef' or 'tessera', got 'int8'"):
        quantize([[1.0]], "int8")
    with pytest.raises(TypeError, match="stored embeddings are int8, got float64"):
        dequantize([[0.1]])
    with pytest.raises(ValueError, match=r"scales have shape \(3,\), expected \(4,\)"):
        dequantize(np.zeros((4, 2), np.int8), np.ones(3))


def test_integers_and_lists_are_numbers_too():
    assert_array_equal(quantize([[1, 0], [0, -1]], "aef"), [[127, 0], [0, -127]])
    stored, scales = quantize(np.array([[254, 0, -2]]), "tessera")
    assert_array_equal(stored, [[127, 0, -1]])
    assert_array_equal(scales, [2])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("form", ["aef", "tessera"])
def test_the_components_may_lie_along_any_axis(form, axis):
    vectors = unit_vectors(4, 5, 6)
    vectors[1, 2, 3] = np.nan
    expected = quantize(vectors, form)
    layout = np.moveaxis(vectors, -1, axis)
    for values in (layout, layout.copy(order="F"), layout.copy()):
        found = quantize(values, form, axis=axis)
        if form == "aef":
            assert_array_equal(np.moveaxis(found, axis, -1), expected)
            decoded = dequantize(found, axis=axis)
        else:
            assert_array_equal(np.moveaxis(found[0], axis, -1), expected[0])
            assert_array_equal(found[1], expected[1])
            decoded = dequantize(*found, axis=axis)
        assert decoded.flags.c_contiguous
        whole = dequantize(expected) if form == "aef" else dequantize(*expected)
        assert_array_equal(np.moveaxis(decoded, axis, -1), whole)


@pytest.mark.parametrize("form", ["aef", "tessera"])
@pytest.mark.parametrize("chunks", [None, {"y": 4, "x": 3}])
def test_maps_keep_their_coordinates_and_stay_lazy(form, chunks):
    grid = embed_grid(SphericalHarmonicsEncoder(degree=3), (4, 50, 7, 52), 0.25)
    expected = quantize(grid.values, form, axis=0, normalize=True)
    if chunks:
        pytest.importorskip("dask")
    given_grid = grid.chunk(chunks) if chunks else grid
    stored = quantize(given_grid, form, normalize=True)
    parts = [stored] if form == "aef" else list(stored)
    for part, values in zip(parts, [expected] if form == "aef" else expected, strict=True):
        assert (part.chunks is not None) == bool(chunks)
        assert_array_equal(part, values)
        xr.testing.assert_equal(part.x, grid.x)
        assert part.spatial_ref.attrs == grid.spatial_ref.attrs
    assert parts[0].dims == grid.dims
    decoded = dequantize(*parts)
    assert decoded.dims == grid.dims
    assert decoded.dtype == np.float32
    assert (decoded.chunks is not None) == bool(chunks)
    assert "_FillValue" not in decoded.attrs
    memory = dequantize(expected) if form == "aef" else dequantize(*expected, axis=0)
    assert_array_equal(decoded, memory)
    xr.testing.assert_equal(decoded.band, grid.band)


def test_the_axis_of_a_map_without_bands_is_named():
    array = xr.DataArray(unit_vectors(3, 4), dims=("place", "feature"))
    with pytest.raises(ValueError, match="is called band: name the axis"):
        quantize(array, "aef")
    assert quantize(array, "aef", axis=1).dims == ("place", "feature")


def test_the_sources_decode_the_same_numbers_to_the_last_bit(tmp_path):
    stored = random_bytes(3, (64, 16, 16), low=-128)
    path = write_alphaearth(tmp_path / "a.tif", stored, epsg=32631, west=500000, south=5700000)
    row, col = np.indices((16, 16)).reshape(2, -1)
    lonlat = to_lonlat(500000 + 10 * (col + 0.5), 5700000 + 10 * (row + 0.5), 32631)
    sampler = EmbeddingRasterSampler(AlphaEarthSource(path), missing="all", on_missing="nan")
    assert_array_equal(sampler.transform(lonlat), dequantize(stored)[:, row, col].T)


@pytest.mark.filterwarnings("ignore::geofeat.exceptions.CoverageWarning")
def test_scales_that_mean_missing_are_those_of_the_sampler(tmp_path):
    lon, lat = 10.05, 87.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    stored = random_bytes(5, (height, width, 128))
    scales = np.random.default_rng(5).uniform(0, 1, (height, width)).astype(np.float32)
    scales[500:510, 20:30] = np.resize([0, -1, np.nan, np.inf, -np.inf, 3e38], (10, 10))
    write_tessera(tmp_path / "2024", lon, lat, stored, scales)
    row, col = (index.ravel() for index in np.mgrid[495:515, 15:35])
    lonlat = to_lonlat(*place_of(transform, col + 0.5, row + 0.5), epsg)
    sampler = EmbeddingRasterSampler(TesseraSource(tmp_path), year=2024)
    expected = dequantize(stored[row, col], scales[row, col])
    assert np.isnan(expected).any()
    assert not np.isinf(expected).any()
    assert_array_equal(sampler.transform(lonlat), expected)


def write_geotiff(path, stored):
    """What the guide shows: a map of bytes as a GeoTIFF."""
    transform = [float(number) for number in stored.spatial_ref.attrs["GeoTransform"].split()]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="int8",
        nodata=-128,
        count=stored.sizes["band"],
        height=stored.sizes["y"],
        width=stored.sizes["x"],
        crs=stored.spatial_ref.attrs["crs_wkt"],
        transform=rasterio.Affine.from_gdal(*transform),
        compress="zstd",
    ) as file:
        file.write(stored.values)
        file.descriptions = tuple(stored.band.values.tolist())


def test_a_database_of_ones_own_in_the_form_of_alphaearth(tmp_path):
    encoder = SphericalHarmonicsEncoder(degree=7)
    grid = embed_grid(encoder, (4, 50, 7, 52), 0.02)
    grid[:, 10:20, 30:40] = np.nan
    stored = quantize(grid, "aef", normalize=True)
    write_geotiff(tmp_path / "map.tif", stored)
    column, row = np.random.default_rng(0).integers(0, [150, 100], (400, 2)).T
    points = np.column_stack([4 + 0.02 * (column + 0.5), 52 - 0.02 * (row + 0.5)])
    hole = (row >= 10) & (row < 20) & (column >= 30) & (column < 40)
    vectors = encoder.transform(points)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for source in (
        RasterSource(tmp_path / "map.tif", decode="aef"),
        ArraySource(stored, decode="aef"),
    ):
        sampler = EmbeddingRasterSampler(source, on_missing="nan")
        assert sampler.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
        values = sampler.transform(points)
        assert_array_equal(np.isnan(values).all(axis=1), hole)
        error = np.abs(values - vectors)[~hole]
        # The map was rounded to float32 before it was stored.
        assert (error <= aef_bound(vectors[~hole]) + 1e-5).all()


def test_a_database_of_ones_own_in_the_form_of_tessera(tmp_path):
    lon, lat = 10.05, 87.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    row, col = np.indices((height, width)).reshape(2, -1)
    centres = to_lonlat(*place_of(transform, col + 0.5, row + 0.5), epsg)
    encoder = RandomFourierFeatures(128, space="sphere", length_scale=300.0, random_state=0).fit(
        centres
    )
    vectors = 30 * encoder.transform(centres)
    stored, scales = quantize(vectors.reshape(height, width, 128), "tessera")
    write_tessera(tmp_path / "2024", lon, lat, stored, scales)
    chosen = np.random.default_rng(0).choice(centres.shape[0], 300, replace=False)
    inside = chosen[(np.floor(centres[chosen] * 10) == [100, 870]).all(axis=1)]
    assert inside.size > 100
    values = EmbeddingRasterSampler(TesseraSource(tmp_path)).transform(centres[inside])
    bound = scales.reshape(-1)[inside, None] * (0.5 + 1e-5)
    assert (np.abs(values - vectors[inside]) <= bound).all()
