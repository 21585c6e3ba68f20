"""Indexes that are hostile, spelled otherwise or damaged."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from numpy.testing import assert_array_equal
from shapely.geometry import Polygon

from geofeat import AlphaEarthSource, EmbeddingRasterSampler
from geofeat.exceptions import CorruptFileError, SourceError, UnsafeFileError
from tests.rasters.conftest import seam_truth
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    random_bytes,
    to_lonlat,
    write_alphaearth,
    write_index,
    write_raster,
)

HERE = [[11.9995, 47.0]]


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def indexed(frame, folder, **source):
    frame.to_parquet(folder / "i.parquet")
    return AlphaEarthSource(folder / "i.parquet", **source)


@pytest.mark.parametrize(
    "path",
    [
        "../../secret.tiff",
        "gs://bucket/../x/y.tiff",
        "s3://mine/../../secret.tiff",
        "s3://mine//2022/./x.tiff",
        "s3://mine/2022/32N/z.vrt",
        "2022/32N/z.vrt",
        "2022/32N/a b.tiff",
        "2022/32N/a\\b.tiff",
        "2022/32N/a\n.tiff",
        "2022/32N/" + "a" * 300 + ".tiff",
        "/etc/secret.tiff",
        "/vsicurl/http://host/x/../y.tiff",
        "https://host/2022/32N/a.tiff?x=/z.tiff",
    ],
)
def test_names_that_are_no_plain_names_below_the_root_are_refused(seam, tmp_path, path):
    frame = seam.index.copy()
    frame.loc[frame.index[1], "path"] = path
    assert frame.year.iloc[1] == 2022
    source = indexed(frame, tmp_path, root=seam.root, prefixes={"s3://mine/": str(tmp_path)})
    with pytest.raises(UnsafeFileError, match="row 1 of 2022 names") as caught:
        sampler(source, year=2022).transform(HERE)
    assert repr(path) in str(caught.value)


def test_a_link_out_of_the_root_is_refused(seam, tmp_path):
    root = tmp_path / "root"
    for file in seam.files:
        link = root / "/".join(file.path.split("/")[-3:])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path)
    with pytest.raises(UnsafeFileError, match=r"row 0 of 2022 .* a link out of"):
        sampler(indexed(seam.index, tmp_path, root=root), year=2022).transform(HERE)


def test_absolute_paths_count_without_a_root_only(seam, seam_points, tmp_path):
    frame = seam.index.assign(path=[file.path for file in seam.files])
    truth, _ = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    assert_array_equal(sampler(indexed(frame, tmp_path), year=2022).transform(seam_points), truth)
    with pytest.raises(UnsafeFileError, match="no plain name"):
        sampler(indexed(frame, tmp_path, root=tmp_path), year=2022).transform(HERE)


def test_a_prefix_ends_at_a_folder(seam, seam_points, tmp_path):
    truth, _ = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    published = "gs://alphaearth_foundations/satellite_embedding/v1/annual"
    for prefix in (published, f"{published}/"):
        prefixes = {"gs://alphaearth": str(tmp_path), prefix: seam.root}
        source = indexed(seam.index, tmp_path, prefixes=prefixes)
        assert_array_equal(sampler(source, year=2022).transform(seam_points), truth)


@pytest.mark.parametrize("spelling", ["01N", "1n", None, "", "zone 1"])
def test_the_own_zone_counts_however_it_is_spelled(tmp_path, spelling):
    """Both footprints hold the point; the file of zone 1, named second, owns it."""
    rows, truth = [], {}
    for zone in (60, 1):
        epsg = 32600 + zone
        x, y = from_lonlat(-179.999, 10.0, epsg)
        west, south = round(x, -1) - 320, round(y, -1) - 320
        truth[zone] = random_bytes(zone, (64, 64, 64))
        name = f"2020/{zone}N/a.tiff"
        write_alphaearth(tmp_path / name, truth[zone], epsg=epsg, west=west, south=south)
        rows.append(
            {
                "path": name,
                "year": 2020,
                "utm_zone": "60N" if zone == 60 else spelling,
                "geom": shapely.box(-180, 9, -179.9, 11),
            }
        )
    source = indexed(gpd.GeoDataFrame(rows, geometry="geom", crs="EPSG:4326"), tmp_path)
    x, y = from_lonlat(-179.999, 10.0, 32601)
    pixel = truth[1][:, int((y - south) // 10), int((x - west) // 10)]
    values = sampler(source, year=2020).transform([[-179.999, 10.0]])
    assert_array_equal(values[0], alphaearth_values(pixel))


def test_boxes_wider_than_half_the_world_cross_the_antimeridian(tmp_path):
    stored = random_bytes(1, (64, 64, 64))
    x, y = from_lonlat(180.0, 10.0, 32660)
    west, south = round(x, -1) - 320, round(y, -1) - 320
    write_alphaearth(tmp_path / "a.tiff", stored, epsg=32660, west=west, south=south)
    lon, lat = to_lonlat([west, west + 640], [south, south + 640], 32660).T
    row = {"path": "a.tiff", "year": 2020, "utm_zone": "60N"}
    row |= {"wgs84_west": lon.min(), "wgs84_south": lat.min()}
    row |= {"wgs84_east": lon.max(), "wgs84_north": lat.max()}
    assert row["wgs84_east"] - row["wgs84_west"] > 359
    source = indexed(pd.DataFrame([row]), tmp_path)
    points = [[179.9995, 10.0], [-179.9995, 10.0], [0.0, 10.0], [170.0, 10.0]]
    values, info = sampler(source, year=2020).sample(points, return_info=True)
    assert info.reason.tolist() == ["ok", "ok", "no_coverage", "no_coverage"]
    assert np.isfinite(values[:2]).all()


def test_a_point_in_a_box_but_in_no_polygon_is_uncovered(seam, tmp_path):
    frame = seam.index[seam.index.utm_zone == "32N"]
    west, south, east, north = frame.geom.iloc[0].bounds
    corner = [[west, south], [east, south], [west, north]]
    source = indexed(frame.assign(geom=[Polygon(corner)] * 2), tmp_path, root=seam.root)
    points = [[east - 1e-5, north - 1e-5], [west + 1e-5, south + 1e-5]]
    for year, inside in ((2022, "ok"), (2019, "no_year")):
        _, info = sampler(source, year=year).sample(points, return_info=True)
        assert info.reason.tolist()[0] == "no_coverage"
        assert info.reason.tolist()[1] in (inside, "outside")


def test_footprints_in_another_crs_are_projected(seam, seam_points, tmp_path):
    truth, _ = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    frame = seam.index.to_crs("EPSG:3857")  # straight lines there bend by less than a pixel here
    frame = frame.drop(columns=[name for name in frame if name.startswith("wgs84")])
    clear = np.abs(seam_points[:, 0] - 12) > 1e-6
    frame.to_file(tmp_path / "i.gpkg", driver="GPKG")
    for source in (
        indexed(frame, tmp_path, root=seam.root),
        AlphaEarthSource(tmp_path / "i.gpkg", root=seam.root),
    ):
        values = sampler(source, year=2022).transform(seam_points)
        assert_array_equal(values[clear], truth[clear])


def test_only_geopackages_are_read_as_such(tmp_path):
    (tmp_path / "i.gpkg").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(CorruptFileError, match="is no geopackage"):
        _ = AlphaEarthSource(tmp_path / "i.gpkg").years


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("WKT", "POLYGON ((1 2, 3", "row 1 has an unreadable footprint"),
        ("path", "", "row 1 of 2022 has no path"),
        ("year", "", "row 1 has no year"),
        ("wgs84_west", "far", "row 1 has the box"),
        ("wgs84_north", "91", "row 1 has the box"),
        ("wgs84_east", "", "row 1 has the box"),
    ],
)
def test_damaged_rows_are_named(seam, tmp_path, column, value, message):
    frame = pd.read_csv(write_index(seam, "csv", tmp_path), dtype=str)
    if column != "WKT":
        frame = frame.drop(columns="WKT")
    frame.loc[1, column] = value
    frame.to_csv(tmp_path / "aef_index.csv", index=False)
    with pytest.raises(CorruptFileError, match=message) as caught:
        sampler(AlphaEarthSource(tmp_path / "aef_index.csv", root=seam.root), year=2022).transform(
            HERE
        )
    assert str(tmp_path / "aef_index.csv") in str(caught.value)


def test_damaged_binary_footprints_and_null_years_are_named(seam, tmp_path):
    plain = pd.DataFrame(seam.index.drop(columns="geom"))
    source = indexed(plain.assign(geometry=[b"\x01\x02"] * 4), tmp_path, root=seam.root)
    with pytest.raises(CorruptFileError, match="row 0 has an unreadable footprint"):
        sampler(source, year=2022).transform(HERE)
    seam.index.assign(year=pd.array([2022, None, 2023, 2023], dtype="Int64")).to_file(
        tmp_path / "i.gpkg", driver="GPKG"
    )
    with pytest.raises(CorruptFileError, match="row 1 has no year"):
        _ = AlphaEarthSource(tmp_path / "i.gpkg").years
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "i.parquet").read_bytes()[:-100])
    with pytest.raises(CorruptFileError, match=r"cut\.parquet"):
        _ = AlphaEarthSource(tmp_path / "cut.parquet").years


def test_a_raster_without_a_place_on_earth_is_refused(tmp_path):
    path = write_raster(
        tmp_path / "local.tif",
        np.ones((64, 16, 16), np.int8),
        crs='LOCAL_CS["site",UNIT["metre",1]]',
        transform=Affine(10, 0, 0, 0, -10, 0),
    )
    with pytest.raises(SourceError, match=r"local\.tif.* without a place on Earth"):
        sampler(AlphaEarthSource(path)).transform(HERE)


@pytest.mark.parametrize("shortened", [False, True])
def test_a_row_whose_path_is_of_another_year_is_refused(shortened, seam, tmp_path):
    frame = seam.index.copy()
    frame.loc[frame.index[-1], "year"] = 2022  # was 2023
    if shortened:
        frame["path"] = frame["path"].str.split("/").str[-3:].str.join("/")
    frame.to_parquet(tmp_path / "i.parquet")
    source = AlphaEarthSource(tmp_path / "i.parquet", root=seam.root)
    with pytest.raises(CorruptFileError, match="a file of 2023"):
        EmbeddingRasterSampler(source, year=2022).transform([[12.0, 47.0]])
