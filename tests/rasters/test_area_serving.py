"""Files that serve an area alike against the search for each of its places."""

import numpy as np
import pytest

from geofeat import AlphaEarthSource, RasterSource
from tests.rasters.conftest import SEAM


def files_of(source, lon, lat, year):
    """For every place the files that may serve it, best first: the oracle."""
    found = source.locate(lon, lat, np.full(lon.size, year))
    paths = [[] for _ in range(lon.size)]
    for point, file in zip(found.point, found.file, strict=True):
        paths[point].append(found.files[file].path)
    return paths


@pytest.mark.parametrize("kind", ["folder", "list", "interior", "index"])
def test_what_is_told_of_an_area_holds_at_every_place(seam, tmp_path, kind):
    if kind == "index":
        seam.index.to_parquet(tmp_path / "aef_index.parquet")
        source = AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
    elif kind == "folder":
        source = AlphaEarthSource(seam.root)
    else:
        paths = {2022: [file.path for file in seam.files if file.year == 2022]}
        source = RasterSource(paths, overlap="first" if kind == "list" else "interior")
    rng = np.random.default_rng(7)
    told = 0
    for _ in range(150):
        west, south = rng.uniform(SEAM - 0.006, SEAM + 0.005), rng.uniform(46.995, 47.004)
        width, height = rng.uniform(0.0001, 0.002, 2)
        lon = west + width * np.array([0, 1, 1, 0])
        lat = south + height * np.array([0, 0, 1, 1])
        serving = source.serving(lon, lat, 2022)
        if serving is None:
            continue
        told += 1
        inside = rng.uniform(0, 1, (2, 20))
        x = np.append(lon, west + width * inside[0])
        y = np.append(lat, south + height * inside[1])
        expected = [one.file.path for one in serving]
        assert all(paths == expected for paths in files_of(source, x, y, 2022))
        assert [one.grid for one in serving] == [one.file.grid for one in serving]
    # In this scene both files reach everywhere: which lies deeper differs from place to place.
    assert told == 0 if kind == "interior" else 20 < told < 150


def test_nothing_is_told_of_places_that_nobody_serves_or_other_years(seam):
    source = AlphaEarthSource(seam.root)
    lon, lat = SEAM + 0.001 * np.array([1, 2, 2, 1]), 47 + 0.0005 * np.array([0, 0, 1, 1])
    assert source.serving(lon, lat, 2022)
    assert source.serving(lon, lat, 2021) is None
    assert source.serving(lon + 30, lat, 2022) is None
    assert source.serving(np.where(lon > SEAM, np.nan, lon), lat, 2022) is None


def test_a_lost_file_is_nobody_s_word(seam, tmp_path):
    index = seam.index.copy()
    index["path"] = index["path"].str.replace("x33", "lost33")
    index.to_parquet(tmp_path / "aef_index.parquet")
    source = AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
    lon, lat = SEAM + 0.001 * np.array([1, 2, 2, 1]), 47 + 0.0005 * np.array([0, 0, 1, 1])
    assert source.serving(lon, lat, 2022) is None
