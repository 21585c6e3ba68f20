"""The simulated sample: its files are read here without geofeat, by rasterio, NumPy and pyarrow."""

import hashlib
import json
import shutil
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Transformer
from scipy.spatial import cKDTree

from geofeat.datasets import _tree_species, load_tree_species

INDEX_COLUMNS = [
    "fid", "geom", "crs", "path", "year", "utm_zone", "utm_west", "utm_south", "utm_east",
    "utm_north", "wgs84_west", "wgs84_south", "wgs84_east", "wgs84_north",
]  # fmt: skip
REGISTRY_COLUMNS = {
    "lat", "lon", "year", "hash", "scales_hash", "mtime", "file_size", "scales_size", "lon_i",
    "lat_i", "geometry",
}  # fmt: skip


@pytest.fixture(scope="module")
def sample(sample_cache):
    return load_tree_species(cache_dir=sample_cache)


@pytest.fixture(scope="module")
def index(sample):
    return gpd.read_parquet(sample.alphaearth)


def checksums(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def nearest_same_share(xy, species):
    """Share of plots whose nearest neighbour is of their own species."""
    _, neighbour = cKDTree(xy).query(xy, k=2)
    return np.mean(species == species[neighbour[:, 1]])


def plane(plots):
    return np.column_stack([plots.to_crs(32632).geometry.x, plots.to_crs(32632).geometry.y])


def test_two_builds_are_equal_bit_for_bit(sample, sample_cache, tmp_path):
    # Another process with another number of threads.
    code = (
        "import sys; from geofeat.datasets import load_tree_species as f; f(cache_dir=sys.argv[1])"
    )
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": "."}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    first, second = (
        checksums(parent / _tree_species.FOLDER_NAME) for parent in (sample_cache, tmp_path)
    )
    assert len(first) > 20
    assert first == second


def test_about_two_thousand_plots_of_seven_uneven_species(sample):
    assert sample.plots.crs.to_epsg() == 4326
    assert len(sample.plots) == len(sample.target) == len(sample.series) == 2000
    assert sample.plots.index.equals(gpd.pd.RangeIndex(2000))
    assert_array_equal(sample.target, sample.plots["species"])
    names, counts = np.unique(sample.target, return_counts=True)
    assert set(names) == set(sample.target_names)
    assert len(names) == 7
    assert counts.max() > 4 * counts.min()
    assert counts.min() >= 50
    ordered = [np.sum(sample.target == name) for name in sample.target_names]
    assert ordered == sorted(counts, reverse=True)


def test_both_utm_zones_occur_and_meet_at_six_degrees(sample):
    lon = sample.plots.geometry.x
    assert_array_equal(sample.plots["zone"], np.where(lon < 6.0, "31N", "32N"))
    assert (sample.plots["zone"] == "31N").mean() == pytest.approx(0.5, abs=0.1)


def test_neighbours_share_their_species_more_often_than_chance(sample):
    xy = plane(sample.plots)
    observed = nearest_same_share(xy, sample.target)
    rng = np.random.default_rng(0)
    by_chance = [nearest_same_share(xy, rng.permutation(sample.target)) for _ in range(99)]
    assert observed > max(by_chance) + 0.2
    assert observed < 0.9


def test_species_follow_a_gradient_over_the_region(sample):
    # Far plots, too, differ in composition: west and east halves, beyond chance (chi-square, 6 df).
    west = sample.plots["zone"] == "31N"
    table = np.array(
        [[np.sum(half & (sample.target == name)) for name in sample.target_names]
         for half in (west, ~west)]
    )  # fmt: skip
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    assert ((table - expected) ** 2 / expected).sum() > 22.46  # the 0.999 quantile


def test_series_are_reflectances_with_gaps_shared_by_all_bands(sample):
    assert sample.series.shape == (2000, len(sample.times), len(sample.band_names))
    assert sample.series.dtype == np.float32
    assert sample.band_names == ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"]
    assert sample.times.dtype == np.dtype("datetime64[D]")
    assert set(sample.times.astype("datetime64[Y]").astype(int) + 1970) == {2022, 2023}
    assert (np.diff(sample.times).astype(int) == 5).all()
    gaps = np.isnan(sample.series)
    assert (gaps == gaps[:, :, :1]).all()
    assert 0.45 < gaps.mean() < 0.65
    assert (~gaps[:, :, 0]).sum(axis=1).min() >= 20
    assert np.nanmin(sample.series) > 0
    assert np.nanmax(sample.series) <= 1
    # Clouds come in banks: neighbours are hidden together more often than distant plots.
    hidden = gaps[:, :, 0]
    _, neighbour = cKDTree(plane(sample.plots)).query(plane(sample.plots), k=2)
    far = np.roll(np.arange(2000), 1000)
    assert np.mean(hidden == hidden[neighbour[:, 1]]) > np.mean(hidden == hidden[far]) + 0.02


def test_conifers_stay_green_in_winter_and_broadleaves_do_not(sample):
    month = sample.times.astype("datetime64[M]").astype(int) % 12
    red, near = sample.series[:, :, 2], sample.series[:, :, 6]
    ndvi = (near - red) / (near + red)
    drop = np.nanmedian(ndvi[:, np.isin(month, [5, 6])], axis=1) - np.nanmedian(
        ndvi[:, np.isin(month, [0, 1, 11])], axis=1
    )
    of = {name: np.nanmedian(drop[sample.target == name]) for name in sample.target_names}
    evergreen = {"Scots pine", "Douglas fir", "Norway spruce"}
    assert max(of[name] for name in evergreen) < min(of[name] for name in set(of) - evergreen)


def test_alphaearth_files_have_the_published_layout(sample, index):
    paths = sorted(sample.alphaearth.parent.glob("*/*/*.tiff"))
    assert len(paths) == 4
    for path in paths:
        assert "simulated" in path.name
        assert path.read_bytes()[:4] == b"II+\x00"  # little-endian BigTIFF
        with rasterio.open(path) as dataset:
            assert dataset.driver == "GTiff"
            assert dataset.count == 64
            assert set(dataset.dtypes) == {"int8"}
            assert set(dataset.nodatavals) == {-128}
            assert dataset.interleaving.value == "BAND"
            assert dataset.compression.value == "ZSTD"
            assert dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1") == "1"
            assert set(dataset.block_shapes) == {(256, 256)}
            assert dataset.descriptions == tuple(f"A{band:02d}" for band in range(64))
            assert dataset.transform.e == 10
            assert dataset.transform.a == 10
            assert dataset.transform.b == dataset.transform.d == 0
            assert f"{dataset.crs.to_epsg() % 100}N" == path.parent.name
            values = dataset.read()
        empty = values == -128
        assert (empty.all(axis=0) == empty.any(axis=0)).all()
        assert 0 < empty[0].mean() < 0.5
        full = values[:, ~empty[0]].astype(float)
        norm = np.sqrt(np.sum((full / 127.5) ** 4, axis=0))
        assert_allclose(norm, 1.0, atol=0.02)


def test_alphaearth_index_has_the_published_columns_and_ends_at_the_zones(sample, index):
    assert pq.read_schema(sample.alphaearth).names == INDEX_COLUMNS
    assert index.geometry.name == "geom"
    assert index.crs.to_epsg() == 4326
    assert sorted(zip(index["year"], index["utm_zone"], strict=True)) == [
        (2022, "31N"), (2022, "32N"), (2023, "31N"), (2023, "32N"),
    ]  # fmt: skip
    assert_allclose(
        index.geometry.bounds, index[["wgs84_west", "wgs84_south", "wgs84_east", "wgs84_north"]]
    )
    for row in index.itertuples():
        with rasterio.open(sample.alphaearth.parent / row.path) as dataset:
            assert row.crs == dataset.crs.to_string()
            bounds = dataset.bounds
        assert (row.utm_west, row.utm_east) == (bounds.left, bounds.right)
        assert (row.utm_south, row.utm_north) == tuple(sorted(bounds[1::2]))
        # The raster reaches beyond the meridian, its footprint does not.
        border = row.wgs84_east if row.utm_zone == "31N" else row.wgs84_west
        assert border == pytest.approx(6.0, abs=1e-9)
        corner = (row.utm_east if row.utm_zone == "31N" else row.utm_west, row.utm_south)
        lon, _ = Transformer.from_crs(row.crs, 4326, always_xy=True).transform(*corner)
        assert (lon > 6.0) == (row.utm_zone == "31N")


def test_every_plot_has_an_alphaearth_vector_in_the_file_of_its_zone(sample, index):
    covered = np.zeros((2, len(sample.plots)), dtype=bool)
    for row in index.itertuples():
        here = (sample.plots["zone"] == row.utm_zone).to_numpy()
        own = sample.plots[here].to_crs(row.crs).geometry
        assert sample.plots[here].within(row.geom).all()
        with rasterio.open(sample.alphaearth.parent / row.path) as dataset:
            rows, cols = rasterio.transform.rowcol(dataset.transform, own.x, own.y)
            values = dataset.read()[:, rows, cols]
        covered[row.year - 2022, here] = (values != -128).all(axis=0)
    assert covered.all()


def test_tessera_tiles_have_the_published_layout_and_values_at_every_plot(sample):
    registry = gpd.read_parquet(sample.tessera / "registry.parquet")
    assert set(registry.columns) == REGISTRY_COLUMNS
    assert registry["lon_i"].dtype == registry["lat_i"].dtype == np.int32
    assert len(registry) == 4
    found = np.zeros((2, len(sample.plots)), dtype=bool)
    for row in registry.itertuples():
        name = f"grid_{row.lon:.2f}_{row.lat:.2f}"
        folder = sample.tessera / "global_0.1_degree_representation" / str(row.year) / name
        stored = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        scales = np.load(folder / f"{name}_scales.npy", allow_pickle=False)
        with rasterio.open(sample.tessera / "global_0.1_degree_tiff_all" / f"{name}.tiff") as mask:
            assert mask.shape == scales.shape == stored.shape[:2]
            assert mask.crs.to_epsg() == (32631 if row.lon < 6 else 32632)
            assert mask.transform.e == -10
            here = (np.abs(sample.plots.geometry.x - row.lon) < 0.05).to_numpy()
            points = sample.plots[here].to_crs(mask.crs).geometry
            rows, cols = rasterio.transform.rowcol(mask.transform, points.x, points.y)
        assert stored.dtype == np.int8
        assert stored.shape[2] == 128
        assert scales.dtype == np.float32
        at_plots = np.asarray(stored[rows, cols])
        assert (np.abs(at_plots).max(axis=1) == 127).all()
        found[row.year - 2022, here] = scales[rows, cols] > 0
        # Everywhere else the vector and its scale are zero, the product's sign of missing.
        assert (scales > 0).sum() < 10 * here.sum()
        assert not stored[scales == 0].any()
    assert found.all()


def test_tessera_checksums_agree_with_the_files(sample):
    registry = gpd.read_parquet(sample.tessera / "registry.parquet")
    for row in registry.itertuples():
        name = f"grid_{row.lon:.2f}_{row.lat:.2f}"
        folder = sample.tessera / "global_0.1_degree_representation" / str(row.year) / name
        listed = dict(
            reversed(line.split()) for line in (folder / "SHA256").read_text().splitlines()
        )
        for file, stated, size in (
            (f"{name}.npy", row.hash, row.file_size),
            (f"{name}_scales.npy", row.scales_hash, row.scales_size),
        ):
            content = (folder / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == stated == listed[file]
            assert len(content) == size
    landmasks = gpd.read_parquet(sample.tessera / "landmasks.parquet")
    assert {"lat", "lon", "hash", "file_size", "lon_i", "lat_i"} <= set(landmasks.columns)
    for row in landmasks.itertuples():
        name = f"grid_{row.lon:.2f}_{row.lat:.2f}.tiff"
        content = (sample.tessera / "global_0.1_degree_tiff_all" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.hash


def test_geotessera_reads_the_tiles(sample, tmp_path):
    geotessera = pytest.importorskip("geotessera")
    few = sample.plots.iloc[:25]
    client = geotessera.GeoTessera(
        embeddings_dir=sample.tessera,
        registry_dir=sample.tessera,
        cache_dir=tmp_path,
        verify_hashes=False,
    )
    lonlat = list(zip(few.geometry.x, few.geometry.y, strict=True))
    values = client.sample_embeddings_at_points(lonlat, year=2023, auto_download=False)
    assert values.shape == (25, 128)
    assert np.isfinite(values).all()
    assert (np.abs(values).max(axis=1) > 1).all()


def test_it_says_simulated_wherever_it_speaks(sample, sample_cache):
    assert sample.DESCR.startswith("SIMULATED")
    assert "no plot, series or embedding here was ever measured" in sample.DESCR
    assert "SIMULATED" in load_tree_species.__doc__.splitlines()[0]
    assert sample.tessera.parent == sample_cache / _tree_species.FOLDER_NAME
    assert "simulated" in _tree_species.FOLDER_NAME
    for name, count in zip(*np.unique(sample.target, return_counts=True), strict=True):
        assert f"{name}: {count}" in sample.DESCR


def test_the_disk_it_takes_is_small(sample, sample_cache):
    files = (sample_cache / _tree_species.FOLDER_NAME).rglob("*")
    blocks = [path.stat().st_blocks for path in files if path.is_file()]
    assert sum(blocks) * 512 < 150e6


@pytest.fixture
def cheap_build(monkeypatch, sample, sample_cache):
    """Builds become copies of the finished sample, counted."""
    folders = []

    def build(folder):
        folders.append(folder)
        names = json.loads((sample_cache / _tree_species.FOLDER_NAME / "manifest.json").read_text())
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name.endswith((".parquet", "series.npy")):
                shutil.copy(sample_cache / _tree_species.FOLDER_NAME / name, folder / name)
            else:
                (folder / name).write_bytes(b"")
        sizes = {name: (folder / name).stat().st_size for name in names}
        (folder / "manifest.json").write_text(json.dumps(sizes))

    monkeypatch.setattr(_tree_species, "_build", build)
    return folders


def test_a_complete_cache_is_used_again(cheap_build, tmp_path):
    load_tree_species(cache_dir=tmp_path)
    load_tree_species(cache_dir=str(tmp_path))
    assert len(cheap_build) == 1
    assert [path.name for path in tmp_path.iterdir()] == [_tree_species.FOLDER_NAME]


@pytest.mark.parametrize("damage", ["lost file", "short file", "no manifest", "bad manifest"])
def test_an_incomplete_cache_is_built_again(cheap_build, tmp_path, sample, damage):
    load_tree_species(cache_dir=tmp_path)
    folder = tmp_path / _tree_species.FOLDER_NAME
    if damage == "lost file":
        (folder / "series.npy").unlink()
    elif damage == "short file":
        (folder / "plots.parquet").write_bytes(b"PAR1")
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text("[")
    again = load_tree_species(cache_dir=tmp_path)
    assert len(cheap_build) == 2
    assert_array_equal(again.target, sample.target)
    assert [path.name for path in tmp_path.iterdir()] == [_tree_species.FOLDER_NAME]


def test_a_failed_build_leaves_nothing_behind(monkeypatch, tmp_path):
    def build(folder):
        (folder / "half").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(_tree_species, "_build", build)
    with pytest.raises(OSError, match="disk full"):
        load_tree_species(cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_another_process_finished_first_is_taken(monkeypatch, cheap_build, tmp_path):
    slow_build = _tree_species._build

    def build(folder):
        slow_build(folder)
        if len(cheap_build) == 1:  # meanwhile the other process does all of it
            load_tree_species(cache_dir=tmp_path)

    monkeypatch.setattr(_tree_species, "_build", build)
    assert len(load_tree_species(cache_dir=tmp_path).plots) == 2000
    assert len(cheap_build) == 2
    assert [path.name for path in tmp_path.iterdir()] == [_tree_species.FOLDER_NAME]


def test_the_environment_variable_names_the_cache(cheap_build, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "elsewhere"))
    assert load_tree_species().alphaearth.is_relative_to(tmp_path / "elsewhere")
