"""plot_coverage: every reason counted and placed."""

import warnings

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from shapely.geometry import box

from geofeat import ArraySource, CartesianEncoder, EmbeddingRasterSampler, RasterSource
from geofeat.plotting import plot_coverage

PLACES = np.array([[0.5, 59.5], [1.5, 58.5], [1.5, 59.5], [9.0, 59.0], [np.nan, 3.0]])


@pytest.fixture
def raster():
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    values[:, 1, 1] = np.nan
    return xr.DataArray(
        values,
        coords={"band": ["a", "b"], "y": [59.5, 58.5], "x": [0.5, 1.5]},
        dims=("band", "y", "x"),
    )


@pytest.fixture
def sampler(raster):
    return EmbeddingRasterSampler(ArraySource(raster, crs="EPSG:4326"))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_points_are_placed_and_counted_by_reason(sampler):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot_coverage(sampler, PLACES)
    assert legend(ax) == ["ok (2)", "nodata (1)", "no_coverage (1)", "bad_coordinate (1)"]
    for dots, rows in zip(ax.collections[:3], ([0, 2], [1], [3]), strict=True):
        assert_allclose(dots.get_offsets(), PLACES[rows])
    ok, *others = ax.collections
    assert all(dots.get_zorder() > ok.get_zorder() for dots in others)
    assert all(dots.get_sizes()[0] > ok.get_sizes()[0] for dots in others)
    assert ax.get_legend().get_title().get_text() == ""


@pytest.mark.parametrize("on_missing", ["raise", "warn", 0.0])
def test_missing_values_are_drawn_whatever_the_sampler_does_about_them(sampler, on_missing):
    sampler.set_params(on_missing=on_missing)
    assert legend(plot_coverage(sampler, PLACES))[1:3] == ["nodata (1)", "no_coverage (1)"]
    assert sampler.on_missing == on_missing


def test_points_in_any_crs(sampler):
    points = geopandas.GeoDataFrame(
        {"name": list("abcd")}, geometry=geopandas.points_from_xy(*PLACES[:4].T), crs="EPSG:4326"
    )
    ax = plot_coverage(sampler, points.to_crs(32631))
    assert legend(ax) == ["ok (2)", "nodata (1)", "no_coverage (1)"]
    assert_allclose(ax.collections[0].get_offsets(), PLACES[[0, 2]], atol=1e-6)


def test_polygons_are_drawn_at_a_point_inside(sampler):
    pytest.importorskip("exactextract")
    cells = geopandas.GeoSeries([box(0.1, 59.1, 0.9, 59.9), box(8, 58, 9, 59)], crs="EPSG:4326")
    ax = plot_coverage(sampler.set_params(zonal="mean"), cells)
    assert legend(ax) == ["ok (1)", "no_coverage (1)"]
    assert_allclose(ax.collections[0].get_offsets(), [[0.5, 59.5]])


class Layers:
    """A sampler by duck typing, with years and a reason of its own."""

    def __init__(self, years, several=False):
        self.years, self.several = years, several

    def sample(self, X, return_info):
        assert return_info
        info = pd.DataFrame({"reason": ["ok", "ok", "clouds"], "year": [*self.years, pd.NA]})
        return None, info.add_suffix("_2022").join(
            info.add_suffix("_2023")
        ) if self.several else info


@pytest.mark.parametrize(
    ("years", "title"), [([2023, 2023], "layer of 2023"), ([2021, 2019], "layers of 2019 to 2021")]
)
def test_the_legend_names_the_layers(years, title):
    ax = plot_coverage(Layers(years), PLACES[:3])
    assert ax.get_legend().get_title().get_text() == title
    assert legend(ax) == ["ok (2)", "clouds (1)"]


def test_several_years_are_drawn_one_at_a_time():
    with pytest.raises(ValueError, match=r"reads 2022, 2023.*set_params\(year=2022\)"):
        plot_coverage(Layers([2022, 2022], several=True), PLACES[:3])


def test_years_of_files(raster, tmp_path):
    for year in (2022, 2023):
        with rasterio.open(
            tmp_path / f"map_{year}.tif", "w", driver="GTiff", width=2, height=2, count=2,
            dtype="float32", crs="EPSG:4326", nodata=np.nan,
            transform=rasterio.Affine(1, 0, 0, 0, -1, 60),
        ) as file:  # fmt: skip
            file.write(raster.values)
    source = RasterSource({year: tmp_path / f"map_{year}.tif" for year in (2022, 2023)})
    with pytest.raises(ValueError, match="one year at a time"):
        plot_coverage(EmbeddingRasterSampler(source, year=[2022, 2023]), PLACES)
    ax = plot_coverage(EmbeddingRasterSampler(source, year=2023), PLACES)
    assert ax.get_legend().get_title().get_text() == "layer of 2023"
    missing = plot_coverage(EmbeddingRasterSampler(source, year=2010), PLACES[:1])
    assert legend(missing) == ["no_year (1)"]


@pytest.mark.parametrize("sampler", [CartesianEncoder(), pd.DataFrame({"a": [1]}), None])
def test_what_does_not_sample_is_named(sampler):
    with pytest.raises(TypeError, match=f"got a {type(sampler).__name__}"):
        plot_coverage(sampler, PLACES)


def test_given_axes_are_drawn_on(sampler):
    ax = Figure().subplots()
    assert plot_coverage(sampler, PLACES, ax=ax) is ax
