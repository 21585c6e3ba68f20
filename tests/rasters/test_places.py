"""EmbeddingRasterSampler on polygons."""

import pickle

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from geofeat import AlphaEarthSource, EmbeddingRasterSampler
from geofeat.exceptions import CoverageWarning, SourceError
from tests.rasters.conftest import SEAM, block_planes


@pytest.fixture(scope="module")
def frame():
    """Polygons at the seam, one beyond it and one missing, in a frame with labels."""
    rng = np.random.default_rng(8)
    shapes = [
        shapely.Point(SEAM + rng.uniform(-0.002, 0.002), 47 + rng.uniform(-0.001, 0.001)).buffer(r)
        for r in rng.uniform(1e-4, 1e-3, 12)
    ]
    shapes += [shapely.box(30, 0, 31, 1), None]
    years = [2022, 2023] * 7
    return gpd.GeoDataFrame(
        {"survey": years}, geometry=shapes, crs=4326, index=[f"plot {i}" for i in range(14)]
    )


def sampler(seam, **parameters):
    return EmbeddingRasterSampler(
        AlphaEarthSource(seam.root),
        **{"zonal": "mean", "year": 2022, "on_missing": "nan", "progress": False, **parameters},
    )


def test_columns_are_named_and_counted(seam, frame):
    both = sampler(seam, year=[2022, 2023], bands=[1, 5], return_coherence=True).fit(frame)
    names = ["A01_2022", "A05_2022", "coherence_2022", "A01_2023", "A05_2023", "coherence_2023"]
    assert both.get_feature_names_out().tolist() == names
    assert both.n_features_out_ == 6
    assert_allclose(both.bounds_, shapely.total_bounds(np.array(frame.geometry)[:13]))
    table = both.set_output(transform="pandas").transform(frame)
    assert table.index.equals(frame.index)
    assert list(table.columns) == names
    one = sampler(seam, year=2023, bands=[1, 5], return_coherence=True).transform(frame)
    assert_array_equal(table[names[3:]], one)


def test_unit_vectors_and_their_coherence(seam, frame):
    values = sampler(seam, normalize="l2", return_coherence=True).transform(frame)[:12]
    plain = sampler(seam).transform(frame)[:12]
    assert_allclose(np.linalg.norm(values[:, :-1], axis=1), 1, rtol=1e-6)
    assert_allclose(values[:, -1], np.linalg.norm(plain, axis=1), rtol=1e-6)


def test_each_polygon_may_have_its_year(seam, frame):
    values, info = sampler(seam, year="survey").sample(frame, return_info=True)
    for year in (2022, 2023):
        rows = frame.survey == year
        assert_array_equal(values[rows], sampler(seam, year=year).transform(frame)[rows])
    assert_array_equal(info.year[:12], frame.survey[:12])
    lagged, _ = sampler(seam, year=2023, lag=-1).sample(frame, return_info=True)
    assert_array_equal(lagged, sampler(seam).transform(frame))


def test_what_polygons_were_made_of_is_told(seam, frame):
    values, info = sampler(seam).sample(frame, return_info=True)
    assert info.index.equals(frame.index)
    expected = ["file", "row", "col", "reason", "year", "pixels", "weight", "valid"]
    assert list(info.columns) == expected
    assert info.reason.tolist() == ["ok"] * 12 + ["no_coverage", "bad_coordinate"]
    assert_array_equal(np.isnan(values).all(axis=1), info.reason != "ok")
    metric = frame.geometry[:12].to_crs(32632)
    assert_allclose(info.weight[:12], metric.area / 100, rtol=5e-3)
    assert_allclose(info.valid[:12], 1, rtol=1e-6)
    assert (info.pixels[:12] >= info.weight[:12]).all()
    split = frame.geometry[:12].intersects(shapely.LineString([(SEAM, 46), (SEAM, 48)]))
    assert_array_equal(info.file[:12].isna(), split)
    assert info.row.isna().all()


def test_missing_polygons_warn_raise_or_become_a_number(seam, frame):
    with pytest.warns(CoverageWarning, match=r"1 of 14 rows \(12\): 1 no_coverage"):
        sampler(seam, on_missing="warn").transform(frame)
    with pytest.raises(SourceError, match="no_coverage"):
        sampler(seam, on_missing="raise").transform(frame)
    values = sampler(seam, on_missing=-7.0).transform(frame)
    assert (values[12:] == -7).all()
    assert (values[:12] != -7).all()


def test_min_valid_is_a_share_of_the_area(seam):
    half = gpd.GeoSeries([shapely.box(SEAM, 46.9, SEAM + 0.002, 47.1)], crs=4326)
    _, info = sampler(seam).sample(half, return_info=True)
    share = info.valid.iloc[0]
    assert 0 < share < 0.1
    assert np.isnan(sampler(seam, min_valid=1.01 * share).transform(half)).all()
    assert not np.isnan(sampler(seam, min_valid=0.99 * share).transform(half)).any()


def test_chunks_are_parts_of_the_whole(seam, frame):
    whole = sampler(seam, year="survey", return_coherence=True).transform(frame)
    made = sampler(seam, year="survey", return_coherence=True)
    for rows, values in made.transform_chunks(frame, chunk_rows=5):
        assert_array_equal(values, whole[rows])


@pytest.mark.parametrize("zonal", ["mean", "center"])
def test_coverage_counts_what_will_be_read(seam, frame, reads, zonal):
    report = sampler(seam, year="survey", zonal=zonal).coverage(frame)
    assert reads == []
    assert report.points.tolist() == [7, 7]
    assert report.located.tolist() == [6, 6]
    assert report.no_coverage.tolist() == [1, 0]
    assert report.bad_coordinate.tolist() == [0, 1]
    sampler(seam, year="survey", zonal=zonal).transform(frame)
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) == 64 * report.blocks.sum()
    assert len({path for path, *_ in planes}) == report.files.sum()


def test_coverage_counts_polygons_without_area(seam):
    x, y = SEAM - 0.001, 47.0
    line = shapely.Polygon([(x, y), (x + 1e-4, y), (x, y)])
    report = sampler(seam).coverage(gpd.GeoSeries([line, None], crs=4326))
    assert report.located.tolist() == [1]
    assert report.bad_coordinate.tolist() == [1]
    assert report.blocks.tolist() == [1]


def test_copies_and_pickles_answer_alike(seam, frame):
    made = sampler(seam).fit(frame)
    values = made.transform(frame)
    for copy in (clone(made), pickle.loads(pickle.dumps(made))):
        assert_array_equal(copy.transform(frame), values)


def test_points_and_polygons_are_not_mixed_up(seam, frame):
    points = np.array([[12.0, 47.0]])
    for call in ("fit", "transform", "coverage"):
        with pytest.raises(TypeError, match=r"with zonal= reads polygons, got ndarray"):
            getattr(sampler(seam), call)(points)
        with pytest.raises(ValueError, match="zonal='mean'"):
            getattr(sampler(seam, zonal=None), call)(frame)
    with pytest.raises(ValueError, match="Leave zonal=None"):
        sampler(seam).transform(gpd.GeoSeries.from_xy([12.0], [47.0], crs=4326))
    with pytest.raises(TypeError, match="got DataFrame"):
        sampler(seam).transform(pd.DataFrame({"lon": [1.0], "lat": [2.0]}))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 3}, "window=3 is about points"),
        ({"radius": 30.0}, "radius=30.0 is about points"),
        ({"method": "bilinear"}, "method='bilinear' is about points"),
        ({"statistic": "std"}, "statistic='std' is about points"),
        ({"strict": True}, "strict=True is about points"),
        ({"zonal": None, "return_coherence": True}, "return_coherence=True needs zonal="),
        ({"zonal": "median"}, "zonal"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(seam, frame, parameters, message):
    for call in ("fit", "transform", "coverage"):
        with pytest.raises(ValueError, match=message):
            getattr(sampler(seam, **parameters), call)(frame)
