"""Maps against the sampler and the estimator asked pixel by pixel."""

from typing import ClassVar

import geopandas as gpd
import joblib
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Transformer
from shapely.geometry import Polygon, box
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from geofeat import (
    AlphaEarthSource,
    EmbeddingRasterSampler,
    RasterSource,
    SphericalHarmonicsEncoder,
    TesseraSource,
    predict_raster,
)
from geofeat.exceptions import CoverageWarning, SourceError
from geofeat.rasters import _map_file, _map_reading
from tests.rasters.conftest import SEAM, block_planes
from tests.rasters.writers import (
    random_bytes,
    tessera_geometry,
    to_lonlat,
    write_alphaearth,
    write_raster,
    write_tessera,
)

WEST, SOUTH, SIZE = 600000.0, 5200000.0, 80


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """One south-up AlphaEarth file of 80 x 80 pixels with a hole, and a forest fitted on it."""
    stored = random_bytes(3, (64, SIZE, SIZE))
    stored[:, 5:30, 40:50] = -128
    path = tmp_path_factory.mktemp("scene") / "2023" / "32N" / "scene_2023.tiff"
    write_alphaearth(path, stored, epsg=32632, west=WEST, south=SOUTH)
    rng = np.random.default_rng(0)
    x, y = WEST + rng.uniform(0, 390, 300), SOUTH + rng.uniform(310, 790, 300)
    points = to_lonlat(x, y, 32632)
    labels = rng.choice(["oak", "beech", "ash", "fir"], 300)
    sampler = EmbeddingRasterSampler(str(path), year=2023)
    model = make_pipeline(sampler, RandomForestClassifier(12, random_state=0))
    return str(path), model.fit(points, labels), points, labels


def centres(file):
    """Longitude and latitude of every pixel of a written map, row by row."""
    row, col = np.divmod(np.arange(file.width * file.height), file.width)
    x, y = file.transform.c + (col + 0.5) * file.transform.a, None
    y = file.transform.f + (row + 0.5) * file.transform.e
    lon, lat = Transformer.from_crs(file.crs, 4326, always_xy=True).transform(x, y)
    return np.column_stack([lon, lat])


def expected_codes(model, points):
    """The sampler's vectors and the estimator's answer, one call each; 0 for missing vectors."""
    sampler = model[0]
    vectors = EmbeddingRasterSampler(
        **{**sampler.get_params(deep=False), "on_missing": "nan"}
    ).transform(points)
    good = ~np.isnan(vectors).any(axis=1)
    codes = np.zeros(len(points), dtype=int)
    labels = model[1:].predict(vectors[good])
    codes[good] = [list(model.classes_).index(label) + 1 for label in labels]
    return codes


def test_every_pixel_is_what_the_pipeline_says_of_its_centre(scene, tmp_path):
    _, model, _, _ = scene
    out = predict_raster(model, None, None, tmp_path / "map.tif")
    with rasterio.open(out) as file:
        assert (file.width, file.height) == (SIZE, SIZE)
        assert file.transform == Affine(10, 0, WEST, 0, -10, SOUTH + 10 * SIZE)
        assert file.crs.to_epsg() == 32632
        assert_array_equal(file.read(1).ravel(), expected_codes(model, centres(file)))
        assert (file.read(1) == 0).sum() == 25 * 10


def test_south_up_and_north_up_files_give_one_map(scene, tmp_path):
    path, model, _, _ = scene
    with rasterio.open(path) as file:
        stored, names = file.read(), file.descriptions
    flipped = write_raster(
        tmp_path / "north_2023.tiff",
        stored[:, ::-1],
        crs="EPSG:32632",
        transform=Affine(10, 0, WEST, 0, -10, SOUTH + 10 * SIZE),
        names=names,
        nodata=-128,
    )
    maps = [
        predict_raster(model, source, None, tmp_path / f"{i}.tif")
        for i, source in enumerate((path, flipped))
    ]
    values = [rasterio.open(one).read(1) for one in maps]
    assert_array_equal(*values)


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(9, random_state=1),
        ExtraTreesClassifier(140, random_state=1),
        RandomForestClassifier(5, max_depth=3, random_state=1, n_jobs=2),
        KNeighborsClassifier(3),
        make_pipeline(StandardScaler(), RandomForestClassifier(7, random_state=1)),
    ],
    ids=["forest", "extra trees", "impure leaves", "neighbours", "scaled"],
)
@pytest.mark.parametrize("normalize", [None, "l2"])
def test_any_estimator_and_its_probabilities(scene, tmp_path, estimator, normalize):
    path, _, points, labels = scene
    sampler = EmbeddingRasterSampler(path, year=2023, normalize=normalize, bands=[3, 1, 60, 7])
    model = make_pipeline(sampler, estimator).fit(points, labels)
    out = predict_raster(model, None, None, tmp_path / "map.tif")
    share = predict_raster(model, None, None, tmp_path / "share.tif", probabilities=True)
    percent = predict_raster(model, None, None, tmp_path / "p.tif", probabilities="percent")
    with rasterio.open(out) as file:
        places = centres(file)
        assert_array_equal(file.read(1).ravel(), expected_codes(model, places))
    sampler = sampler.set_params(on_missing="nan")
    vectors = sampler.transform(places)
    good = ~np.isnan(vectors).any(axis=1)
    with rasterio.open(share) as file:
        values = file.read().reshape(4, -1).T
        assert file.descriptions == tuple(model.classes_)
        assert file.dtypes[0] == "float32"
        expected = model[1:].predict_proba(vectors[good]).astype(np.float32)
        assert_array_equal(values[good], expected)
        assert np.isnan(values[~good]).all()
        assert np.isnan(file.nodata)
    with rasterio.open(percent) as file:
        whole = file.read().reshape(4, -1).T
        assert file.nodata == 255
        assert_array_equal(whole[good], np.rint(100 * model[1:].predict_proba(vectors[good])))
        assert (whole[~good] == 255).all()
    sampler.set_params(on_missing="warn")


def test_numbers_are_float32_with_nan(scene, tmp_path):
    path, _, points, _ = scene
    target = np.random.default_rng(1).normal(size=len(points))
    model = make_pipeline(
        EmbeddingRasterSampler(path, year=2023), RandomForestRegressor(5, random_state=0)
    ).fit(points, target)
    with rasterio.open(predict_raster(model, None, None, tmp_path / "map.tif")) as file:
        values, places = file.read(1).ravel(), centres(file)
        assert file.dtypes == ("float32",)
    vectors = EmbeddingRasterSampler(path, year=2023, on_missing="nan").transform(places)
    good = ~np.isnan(vectors[:, 0])
    assert_array_equal(values[good], model[-1].predict(vectors[good]).astype(np.float32))
    assert np.isnan(values[~good]).all()
    with pytest.raises(ValueError, match="no classifier"):
        predict_raster(model, None, None, tmp_path / "no.tif", probabilities=True)


def test_columns_fitted_by_name_get_a_frame_without_warnings(scene, tmp_path):
    path, model, points, labels = scene
    sampler = EmbeddingRasterSampler(path, year=2023, bands=["A05", "A03"])
    named = make_pipeline(sampler, LogisticRegression()).set_output(transform="pandas")
    named.fit(points, labels)
    whole = predict_raster(named, None, None, tmp_path / "whole.tif")
    # The same estimator by itself, which knows its columns by name.
    alone = predict_raster(named[-1], path, None, tmp_path / "alone.tif", takes="embeddings")
    with rasterio.open(whole) as one, rasterio.open(alone) as two:
        assert_array_equal(one.read(1), two.read(1))
        assert_array_equal(one.read(1).ravel() > 0, expected_codes(model, centres(one)) > 0)
        frame = pd.DataFrame(
            EmbeddingRasterSampler(
                path, year=2023, bands=["A05", "A03"], on_missing="nan"
            ).transform(centres(one)),
            columns=["A05", "A03"],
        ).dropna()
        labels_there = np.array(named.classes_)[one.read(1).ravel()[frame.index] - 1]
        assert_array_equal(labels_there, named[-1].predict(frame))


def test_columns_of_another_product_are_refused(scene, neighbours, tmp_path):
    path, _, points, labels = scene
    sampler = EmbeddingRasterSampler(path, year=2023, bands=["A00", "A01", "A02"])
    model = make_pipeline(sampler, RandomForestClassifier(3)).set_output(transform="pandas")
    model.fit(points, labels)
    other = RasterSource(neighbours[0], year=2023)
    model[0].set_params(bands=None)
    with pytest.raises(ValueError, match=r"fitted on the columns A00, .* gives band_001"):
        predict_raster(model, other, (0, 0, 1, 1), tmp_path / "map.tif")


def test_pipelines_of_places_get_the_centres_of_pixels(scene, tmp_path):
    path, _, points, labels = scene
    union = make_union(
        EmbeddingRasterSampler(path, year=2023, on_missing="nan"),
        SphericalHarmonicsEncoder(degree=3),
    )
    model = make_pipeline(union, RandomForestClassifier(5, random_state=0)).fit(points, labels)
    out = predict_raster(model, path, None, tmp_path / "map.tif", takes="points")
    with rasterio.open(out) as file:
        places = centres(file)
        values = file.read(1).ravel()
    vectors = EmbeddingRasterSampler(path, year=2023, on_missing="nan").transform(places)
    good = ~np.isnan(vectors[:, 0])
    assert_array_equal(model.classes_[values[good] - 1], model.predict(places[good]))
    assert (values[~good] == 0).all()
    assert (~good).any()


def test_what_an_estimator_takes_is_never_guessed(scene, tmp_path):
    path, model, points, labels = scene
    with pytest.raises(ValueError, match="takes='embeddings'"):
        predict_raster(model[-1], path, None, tmp_path / "map.tif")
    with pytest.raises(ValueError, match="leave takes=None"):
        predict_raster(model, path, None, tmp_path / "map.tif", takes="points")
    with pytest.raises(ValueError, match="fitted on 2 columns, the source gives 64"):
        predict_raster(
            KNeighborsClassifier().fit(points, labels),
            path,
            None,
            tmp_path / "map.tif",
            takes="embeddings",
        )
    with pytest.raises(NotFittedError):
        predict_raster(
            make_pipeline(EmbeddingRasterSampler(path), RandomForestClassifier()),
            None,
            None,
            tmp_path / "map.tif",
        )
    by_column = make_pipeline(EmbeddingRasterSampler(path, year="when"), RandomForestClassifier(2))
    by_column.fit(pd.DataFrame(points, columns=["lon", "lat"]).assign(when=2023), labels)
    with pytest.raises(ValueError, match="year of the map"):
        predict_raster(by_column, None, None, tmp_path / "map.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_fitted_search_maps_its_best_estimator(scene, tmp_path):
    _, model, points, labels = scene
    search = GridSearchCV(model, {"randomforestclassifier__max_features": [1, 2]}, cv=2)
    search.fit(points, labels)
    one = predict_raster(search, None, None, tmp_path / "one.tif")
    two = predict_raster(search.best_estimator_, None, None, tmp_path / "two.tif")
    assert_array_equal(rasterio.open(one).read(), rasterio.open(two).read())


def seam_model(seam, **parameters):
    source = AlphaEarthSource(seam.root)
    sampler = EmbeddingRasterSampler(source, on_missing="nan", **parameters)
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(SEAM - 0.003, SEAM + 0.003, 200), np.full(200, 47.0)])
    labels = rng.choice(list("abcde"), 200)
    values = sampler.transform(points)
    good = ~np.isnan(values).any(axis=1)
    model = make_pipeline(sampler, RandomForestClassifier(9, random_state=0))
    return model.fit(points[good], labels[good])


def test_a_grid_of_its_own_over_several_files(seam, tmp_path):
    model = seam_model(seam, year=2023)
    bounds = (SEAM - 0.002, 46.999, SEAM + 0.002, 47.001)
    out = predict_raster(model, None, bounds, tmp_path / "map.tif", crs=3035, resolution=15)
    with rasterio.open(out) as file:
        assert file.res == (15, 15)
        assert file.transform.c % 15 == 0
        assert_array_equal(file.read(1).ravel(), expected_codes(model, centres(file)))
        assert (file.read(1) > 0).any()
    with pytest.raises(SourceError, match="no file between"):
        predict_raster(model, None, (50, 46.999, 50.1, 47.0), tmp_path / "none.tif")


@pytest.mark.parametrize("year", [2022, 2023, [2022, 2023]])
def test_two_zones_meet_in_one_map(seam, tmp_path, year):
    model = seam_model(seam, year=year)
    bounds = (SEAM - 0.004, 46.998, SEAM + 0.004, 47.002)
    with rasterio.open(predict_raster(model, None, bounds, tmp_path / "map.tif")) as file:
        places = centres(file)
        assert file.transform.a == 10
        assert_array_equal(file.read(1).ravel(), expected_codes(model, places))
        assert (places[:, 0] > SEAM).any()
        assert (places[:, 0] < SEAM).any()
        west, south = places.min(axis=0)
        east, north = places.max(axis=0)
    assert west < bounds[0] + 0.0002
    assert east > bounds[2] - 0.0002
    assert (south < bounds[1] + 0.0001) & (north > bounds[3] - 0.0001)


def test_an_index_decides_as_for_points(seam, tmp_path):
    seam.index.to_parquet(tmp_path / "aef_index.parquet")
    source = AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
    model = seam_model(seam, year=2022)
    bounds = (SEAM - 0.001, 46.9985, SEAM + 0.002, 47.001)
    model[0].set_params(source=source)
    with rasterio.open(predict_raster(model, None, bounds, tmp_path / "map.tif")) as file:
        assert_array_equal(file.read(1).ravel(), expected_codes(model, centres(file)))


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory):
    """Two plain float rasters side by side on one lattice, one south-up, with an overlap."""
    folder = tmp_path_factory.mktemp("neighbours")
    rng = np.random.default_rng(4)
    left, right = rng.normal(size=(2, 3, 48, 64)).astype(np.float32)
    left[:, 10:20, 50:] = np.nan
    paths = [
        write_raster(
            folder / "left.tif",
            left,
            crs="EPSG:32632",
            transform=Affine(10, 0, WEST, 0, -10, SOUTH + 480),
        ),
        write_raster(
            folder / "right.tif",
            right,
            crs="EPSG:32632",
            transform=Affine(10, 0, WEST + 560, 0, 10, SOUTH),
            interleave="pixel",
        ),
    ]
    return paths, left, right


@pytest.mark.parametrize("overlap", ["first", "interior", "mean"])
def test_files_of_one_lattice_join(neighbours, tmp_path, overlap):
    paths, _, right = neighbours
    source = RasterSource(paths, overlap=overlap)
    corners = to_lonlat(np.array([WEST, WEST + 1200]), np.array([SOUTH, SOUTH + 480]), 32632)
    rng = np.random.default_rng(5)
    points = rng.uniform(*corners, (50, 2))
    sampler = EmbeddingRasterSampler(source, on_missing="nan")
    values = sampler.transform(points)
    points = points[~np.isnan(values).any(axis=1)]
    model = make_pipeline(sampler, KNeighborsClassifier(1)).fit(points, np.arange(len(points)) % 9)
    bounds = gpd.GeoSeries([box(WEST, SOUTH, WEST + 1200, SOUTH + 480)], crs=32632)
    with rasterio.open(predict_raster(model, None, bounds, tmp_path / "map.tif")) as file:
        assert file.bounds == (WEST, SOUTH, WEST + 1200, SOUTH + 480)
        codes = file.read(1)
        expected = expected_codes(model, centres(file)).reshape(codes.shape)
    row, col = np.indices(codes.shape) + 0.5
    deep = [np.minimum.reduce([col - left, left + 64 - col, row, 48 - row]) for left in (0, 56)]
    tie = (deep[0] == deep[1]) & (overlap == "interior")  # either file may serve these
    assert_array_equal(codes[~tie], expected[~tie])
    assert (codes[:10, :50] > 0).all()
    assert (codes[10:20, 50:56] == 0).all()
    if overlap == "first":  # the north of the south-up file, looked up by hand
        assert_array_equal(codes[0, 64:] - 1, model[-1].predict(right[:, -1, 8:].T))


def test_tessera_tiles_are_mapped_by_nearest_pixel(tmp_path):
    rng = np.random.default_rng(8)
    root = tmp_path / "v1" / "global_0.1_degree_representation" / "2024"
    for lon in (11.95, 12.05):  # zones 32 and 33
        _, _, height, width = tessera_geometry(lon, 0.05)
        stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
        scales = rng.uniform(0.01, 0.1, (height, width)).astype(np.float32)
        scales[:50] = 0
        write_tessera(root, lon, 0.05, stored, scales)
    sampler = EmbeddingRasterSampler(TesseraSource(tmp_path / "v1"), bands=[0, 5], on_missing="nan")
    points = np.column_stack([rng.uniform(11.97, 12.03, 40), rng.uniform(0.02, 0.05, 40)])
    model = make_pipeline(sampler, KNeighborsClassifier(1)).fit(points, np.arange(40) % 7)
    bounds = (11.995, 0.0905, 12.004, 0.0995)
    with rasterio.open(predict_raster(model, None, bounds, tmp_path / "map.tif")) as file:
        codes = file.read(1)
        assert_array_equal(codes.ravel(), expected_codes(model, centres(file)))
        assert (codes == 0).any()
        assert (codes > 0).any()


def test_polygons_leave_pixels_outside_empty(scene, tmp_path):
    _, model, _, _ = scene
    triangle = Polygon(
        [(WEST + 103, SOUTH + 104), (WEST + 598, SOUTH + 207), (WEST + 301, SOUTH + 691)]
    )
    frame = gpd.GeoDataFrame(geometry=[triangle], crs=32632)
    with rasterio.open(predict_raster(model, None, frame, tmp_path / "map.tif")) as file:
        codes = file.read(1).ravel()
        places = gpd.GeoSeries.from_xy(*centres(file).T, crs=4326).to_crs(32632)
        inside = places.within(triangle).to_numpy()
        expected = np.where(inside, expected_codes(model, centres(file)), 0)
        assert (file.width, file.height) == (50, 60)
    assert_array_equal(codes, expected)
    assert (~inside).any()
    in_degrees = frame.to_crs(4326).geometry.iloc[0]
    with rasterio.open(predict_raster(model, None, in_degrees, tmp_path / "same.tif")) as file:
        assert_array_equal(file.read(1).ravel(), codes)


def test_bounds_cut_the_grid_of_the_file(scene, tmp_path):
    path, model, _, _ = scene
    whole = rasterio.open(predict_raster(model, None, None, tmp_path / "whole.tif"))
    corners = to_lonlat(
        np.array([WEST + 203, WEST + 388]), np.array([SOUTH + 311, SOUTH + 502]), 32632
    )
    part = rasterio.open(
        predict_raster(model, None, corners.ravel().tolist(), tmp_path / "part.tif")
    )
    col = round((part.transform.c - WEST) / 10)
    row = round((whole.transform.f - part.transform.f) / 10)
    assert_array_equal(part.read(1), whole.read(1)[row : row + part.height, col : col + part.width])
    assert 19 <= part.width <= 22
    beyond = (corners[0, 0] - 1, corners[0, 1] - 1, corners[1, 0] + 1, corners[1, 1] + 1)
    with rasterio.open(predict_raster(model, path, beyond, tmp_path / "all.tif")) as file:
        assert_array_equal(file.read(1), whole.read(1))
    with pytest.raises(ValueError, match="no pixel"):
        predict_raster(model, None, (0, 0, 1, 1), tmp_path / "none.tif")


@pytest.mark.parametrize(("crs", "resolution"), [(4326, None), (3035, 25), (None, (30, 50))])
def test_other_grids_take_the_pixel_that_holds_the_centre(scene, tmp_path, crs, resolution):
    _, model, _, _ = scene
    out = predict_raster(model, None, None, tmp_path / "map.tif", crs=crs, resolution=resolution)
    with rasterio.open(out) as file:
        assert file.crs.to_epsg() == (crs or 32632)
        assert_array_equal(file.read(1).ravel(), expected_codes(model, centres(file)))
        if resolution is not None:
            assert file.res == tuple(np.broadcast_to(resolution, 2))
        else:  # about ten metres
            assert 0.00008 < file.res[1] < 0.00015
        assert (file.read(1) > 0).mean() > 0.5


def test_arrays_are_mapped_too(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 20, 30))
    values[:, 4, 5] = np.nan
    array = xr.DataArray(
        values,
        coords={
            "band": ["a", "b", "c"],
            "y": 40 + 0.1 * np.arange(20),
            "x": 170 + 0.5 * np.arange(30),
        },
        dims=("band", "y", "x"),
        attrs={"crs": "EPSG:4326"},
    )
    model = KNeighborsClassifier(1).fit(values.reshape(3, -1).T[:50], np.arange(50) % 6)
    out = predict_raster(model, array, None, tmp_path / "map.tif", takes="embeddings")
    with rasterio.open(out) as file:
        codes = file.read(1)[::-1]  # the array's first row is the south
    flat = values.reshape(3, -1).T
    good = ~np.isnan(flat).any(axis=1)
    assert_array_equal(codes.ravel()[good], model.predict(flat[good]) + 1)
    assert codes[4, 5] == 0
    # A box across the antimeridian.
    out = predict_raster(
        model, array, (178.0, 40.5, -176.0, 41.0), tmp_path / "seam.tif", takes="embeddings"
    )
    with rasterio.open(out) as file:
        assert (file.bounds.left, file.bounds.right) == (177.75, 184.25)
        assert_array_equal(file.read(1)[::-1], codes[5:11, 16:29][: file.height])


def test_each_block_is_decoded_once(scene, tmp_path, reads):
    _, model, _, _ = scene
    predict_raster(model, None, None, tmp_path / "map.tif", max_bytes=2**20)
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) == 25 * 64
    assert len(reads) > 1


def test_results_do_not_depend_on_threads_or_pieces(scene, tmp_path, monkeypatch):
    _, model, _, _ = scene
    maps = []
    for number, (threads, max_bytes) in enumerate([("1", 2**30), ("3", 2**20)]):
        monkeypatch.setattr("geofeat._threads.usable_threads", lambda n=int(threads): n)
        maps.append(
            predict_raster(
                model,
                None,
                None,
                tmp_path / f"{number}.tif",
                probabilities=True,
                max_bytes=max_bytes,
            )
        )
    one, two = (rasterio.open(path).read() for path in maps)
    assert_array_equal(one, two)


def test_places_and_pixels_are_found_alike_with_and_without_the_short_way(
    seam, scene, tmp_path, monkeypatch
):
    cases = [
        (scene[1], None),
        (seam_model(seam, year=2023), (SEAM - 0.004, 46.998, SEAM + 0.004, 47.002)),
    ]
    for number, (model, bounds) in enumerate(cases):
        short = predict_raster(model, None, bounds, tmp_path / f"s{number}.tif")
        with monkeypatch.context() as patch:
            patch.setattr(_map_reading, "_files_alike", lambda *_: None)
            long = predict_raster(model, None, bounds, tmp_path / f"l{number}.tif")
        assert_array_equal(rasterio.open(short).read(), rasterio.open(long).read())


def test_the_file_is_cloud_optimized_with_overviews_names_and_colours(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 1100, 700)).astype(np.float32)
    values[:, :600, :300] = np.nan
    path = write_raster(
        tmp_path / "source.tif",
        values,
        crs="EPSG:32632",
        transform=Affine(10, 0, WEST, 0, -10, SOUTH),
        blockxsize=256,
        blockysize=256,
    )
    model = KNeighborsClassifier(1).fit([[-1.0], [1.0]], ["low", "high"])
    out = predict_raster(model, path, None, tmp_path / "map.tif", takes="embeddings")
    with rasterio.open(out) as file:
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.nodata == 0
        assert file.descriptions == ("class",)
        assert file.tags(1)["CLASS_1"] == "high"
        assert file.tags(1)["CLASS_2"] == "low"
        colours = file.colormap(1)
        assert len({colours[code] for code in (1, 2)}) == 2
        coarse = file.read(1, out_shape=(550, 350))
        assert set(np.unique(coarse)) <= {0, 1, 2}
        full = file.read(1)
    assert (full[:600, :300] == 0).all()
    assert_array_equal(full[600:] == 1, values[0, 600:] > 0)
    share = predict_raster(
        model, path, None, tmp_path / "share.tif", takes="embeddings", probabilities=True
    )
    with rasterio.open(share) as file:
        mean = file.read(1, out_shape=(550, 350))[400:, 200:]
        full = file.read(1)[800:, 400:]
    assert_allclose(mean, full.reshape(150, 2, 150, 2).mean(axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize(
    "reach", [{"window": 3}, {"radius": 15.0, "statistic": "std"}, {"method": "bilinear"}], ids=str
)
def test_samplers_that_look_further_are_asked_themselves(scene, tmp_path, reach):
    path, _, points, labels = scene
    sampler = EmbeddingRasterSampler(path, year=2023, bands=[1, 5], **reach)
    model = make_pipeline(sampler, RandomForestClassifier(5, random_state=0)).fit(points, labels)
    out = predict_raster(model, None, None, tmp_path / "map.tif", max_bytes=2**20)
    with rasterio.open(out) as file:
        assert_array_equal(file.read(1).ravel(), expected_codes(model, centres(file)))
        assert (file.read(1) == 0).any()


def test_samplers_of_polygons_make_no_map(scene, tmp_path):
    _, model, _, _ = scene
    zonal = make_pipeline(EmbeddingRasterSampler(model[0].source, zonal="mean"), model[-1])
    with pytest.raises(ValueError, match="zonal=None"):
        predict_raster(zonal, None, None, tmp_path / "map.tif")


class Counting(KNeighborsClassifier):
    jobs: ClassVar[list[int]] = []

    def predict(self, X):
        self.jobs.append(joblib.effective_n_jobs(4))
        return super().predict(X)


def test_estimators_get_one_job_while_our_threads_call_them(scene, tmp_path):
    path, _, points, labels = scene
    model = make_pipeline(EmbeddingRasterSampler(path, year=2023), Counting(1))
    predict_raster(model.fit(points, labels), None, None, tmp_path / "map.tif")
    assert set(Counting.jobs) == {1}


class Interrupting(KNeighborsClassifier):
    calls = 0

    def predict(self, X):
        type(self).calls += 1
        if type(self).calls > 2:
            raise KeyboardInterrupt
        return super().predict(X)


def test_what_is_interrupted_leaves_nothing(scene, tmp_path):
    path, _, points, labels = scene
    sampler = EmbeddingRasterSampler(path, year=2023)
    model = make_pipeline(sampler, Interrupting(1)).fit(points, labels)
    with pytest.raises(KeyboardInterrupt):
        predict_raster(model, None, None, tmp_path / "map.tif", max_bytes=2**20)
    assert Interrupting.calls > 2
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_only_when_told(scene, tmp_path, monkeypatch):
    _, model, _, _ = scene
    out = tmp_path / "map.tif"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        predict_raster(model, None, None, out)
    assert out.read_bytes() == b"precious"
    predict_raster(model, None, None, out, overwrite=True)
    assert rasterio.open(out).count == 1
    with pytest.raises(ValueError, match=r"\.tif"):
        predict_raster(model, None, None, tmp_path / "map.png")
    with pytest.raises(FileNotFoundError, match="folder"):
        predict_raster(model, None, None, tmp_path / "no" / "map.tif")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(_map_file.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="1000 are free"):
        predict_raster(model, None, None, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


def test_maps_without_any_value_are_told(scene, tmp_path):
    _, model, _, _ = scene
    hole = box(WEST + 410, SOUTH + 60, WEST + 490, SOUTH + 280)
    frame = gpd.GeoSeries([hole], crs=32632)
    with pytest.warns(CoverageWarning, match=r"no pixel has a value \(176 nodata\)"):
        out = predict_raster(model, None, frame, tmp_path / "map.tif")
    assert (rasterio.open(out).read() == 0).all()


def test_progress_is_shown_when_asked(scene, tmp_path, capsys):
    predict_raster(scene[1], None, None, tmp_path / "map.tif", progress=True)
    assert "predicting" in capsys.readouterr().err
