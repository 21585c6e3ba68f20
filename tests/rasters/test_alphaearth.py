"""AlphaEarth files: which file serves a point, in every form of the index; bytes to numbers."""

import pickle
import shutil
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.testing import assert_array_equal
from shapely.geometry import Polygon

from geofeat import AlphaEarthSource, EmbeddingRasterSampler
from geofeat.exceptions import (
    CorruptFileError,
    CoverageWarning,
    RasterMismatchError,
    SourceError,
)
from geofeat.rasters._decoding import aef_table
from tests.rasters.conftest import block_planes, seam_truth
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    random_bytes,
    random_points_in,
    to_lonlat,
    write_alphaearth,
    write_index,
    write_raster,
)


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


INDEX_KINDS = ["parquet", "boxes-parquet", "stac-parquet", "gpkg", "csv"]


def test_every_byte_decodes_to_the_published_formula_and_nodata_to_nan():
    stored = np.arange(-128, 128).astype(np.int8)
    table = aef_table()[stored.view(np.uint8)]
    assert table.dtype == np.float32
    assert_array_equal(table, alphaearth_values(stored))
    exact = np.sign(stored / 127.5) * (stored / 127.5) ** 2
    np.testing.assert_allclose(table[1:], exact[1:], rtol=3e-7)
    assert np.isnan(table[0])
    assert table[-1] == pytest.approx(0.992172, abs=1e-6)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_points_at_a_seam_are_served_by_the_zone_that_owns_them(seam, seam_points, kind, tmp_path):
    source = AlphaEarthSource(write_index(seam, kind, tmp_path), root=seam.root)
    assert source.years == (2022, 2023)
    for year in (2022, 2023):
        truth, reasons = seam_truth(seam, seam_points, [year] * 400, by_footprint=True)
        values, info = sampler(source, year=year).sample(seam_points, return_info=True)
        assert_array_equal(values, truth)
        assert_array_equal(info.reason == "ok", reasons == "ok")
        assert_array_equal(info.reason == "nodata", reasons == "nodata")
        assert (info.reason == "ok").sum() > 100
    assert (reasons == "nodata").sum() > 5


def test_a_folder_answers_as_its_index_does(seam, seam_points, tmp_path):
    """Overhang of a neighbouring zone serves no point, even where the owner's file is missing."""
    for gone in ((), ("33N",)):
        folder = tmp_path / f"without{len(gone)}" / "annual"
        shutil.copytree(seam.root, folder)
        for zone in gone:
            for file in folder.glob(f"*/{zone}/*.tiff"):
                file.unlink()
        for year in (2022, 2023):
            truth, reasons = seam_truth(seam, seam_points, [year] * 400, by_footprint=True)
            lost = (seam_points[:, 0] >= 12) & bool(gone)
            truth[lost], reasons[lost] = np.nan, "no_coverage"
            values, info = sampler(AlphaEarthSource(folder), year=year).sample(
                seam_points, return_info=True
            )
            assert_array_equal(values, truth)
            assert_array_equal(info.reason.astype(object), reasons)
    # A file named alone serves all that it covers.
    near = seam.files[0]
    alone = sampler(near.path).transform([[12.0002, 47.0]])
    x, y = from_lonlat(12.0002, 47.0, near.epsg)
    pixel = near.stored[:, int((y - near.south) // 10), int((x - near.west) // 10)]
    assert_array_equal(alone[0], alphaearth_values(pixel))


def test_an_index_lying_in_a_folder_is_read(seam, seam_points, tmp_path):
    folder = tmp_path / "annual"
    shutil.copytree(seam.root, folder)
    index = write_index(seam, "parquet", folder)
    # An index of 2022 alone: the folder's other year is not on hand then.
    seam.index[seam.index.year == 2022].to_parquet(index)
    assert AlphaEarthSource(folder).years == (2022,)
    truth, _ = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    assert_array_equal(sampler(AlphaEarthSource(folder), year=2022).transform(seam_points), truth)
    write_index(seam, "csv", folder)  # two: none is preferred
    assert AlphaEarthSource(folder).years == (2022, 2023)


def test_where_zones_are_widened_both_zones_may_serve(tmp_path):
    """West of Norway, 3 to 6 degrees east, the standard grid has zone 32 in place of 31."""
    truth = {}
    for lat in (50.0, 60.0):
        x, y = from_lonlat(5.99, lat, 32632)
        west, south = round(x, -1) - 320, round(y, -1) - 320
        stored = random_bytes(int(lat), (64, 64, 64))
        write_alphaearth(
            tmp_path / "2020" / "32N" / f"{int(lat)}.tiff",
            stored,
            epsg=32632,
            west=west,
            south=south,
        )
        truth[lat] = alphaearth_values(stored[:, int((y - south) // 10), int((x - west) // 10)])
    values = sampler(AlphaEarthSource(tmp_path)).transform([[5.99, 50.0], [5.99, 60.0]])
    assert np.isnan(values[0]).all()
    assert_array_equal(values[1], truth[60.0])


def test_parameters_without_a_meaning_are_refused(seam, tmp_path, monkeypatch):
    index = write_index(seam, "parquet", tmp_path)
    with pytest.raises(ValueError, match="year= has no meaning"):
        _ = AlphaEarthSource(index, year=2022).years
    for given in ({"root": seam.root}, {"prefixes": {"gs://x/": "/x"}}):
        with pytest.raises(ValueError, match="of an index"):
            _ = AlphaEarthSource(seam.root, **given).years
    with pytest.raises(FileNotFoundError, match="mistyped"):
        _ = AlphaEarthSource(index, root=tmp_path / "mistyped").years
    with pytest.raises(SourceError, match="not a local file"):
        _ = AlphaEarthSource("/vsis3/bucket/aef_index.parquet").years
    monkeypatch.setenv("HOME", str(tmp_path))
    assert AlphaEarthSource("~/aef_index.parquet", root="~").years == (2022, 2023)
    assert AlphaEarthSource(index, prefixes={"gs://x": "~"}).years == (2022, 2023)


def test_file_row_and_column_lead_back_to_the_value(seam, seam_points):
    values, info = sampler(AlphaEarthSource(seam.root), year=2022).sample(
        seam_points, return_info=True
    )
    for i in np.flatnonzero(info.reason == "ok")[:20]:
        with rasterio.open(info.file[i]) as file:
            pixel = file.read(
                window=((info.row[i], info.row[i] + 1), (info.col[i], info.col[i] + 1))
            )
        assert_array_equal(values[i], alphaearth_values(pixel[:, 0, 0]))


def test_years_side_by_side_by_row_and_by_date_agree(seam, seam_points):
    source = AlphaEarthSource(seam.root)
    both = sampler(source, year=[2022, 2023])
    wide = both.fit_transform(seam_points)
    names = both.get_feature_names_out()
    assert names[0] == "A00_2022"
    assert names[-1] == "A63_2023"
    single = [sampler(source, year=y).transform(seam_points) for y in (2022, 2023)]
    assert_array_equal(wide, np.hstack(single))
    years = np.where(np.arange(400) % 3, 2023, 2022)
    expected = np.where((years == 2023)[:, None], single[1], single[0])
    frame = pd.DataFrame(seam_points, columns=["lon", "lat"]).assign(
        survey=pd.to_datetime(pd.Series(years).astype(str) + "-06-30"), whole=years
    )
    assert_array_equal(sampler(source, year="survey").transform(frame), expected)
    assert_array_equal(sampler(source, year="whole").transform(frame), expected)
    assert_array_equal(sampler(source, year=frame.survey).transform(seam_points), expected)
    assert_array_equal(
        sampler(source, year="whole", lag=1).transform(frame.assign(whole=years - 1)), expected
    )


def test_a_missing_year_is_told_from_a_missing_place_and_filled_only_on_request(seam):
    points = np.array([[11.9995, 47.0], [12.0005, 47.0], [15.0, 47.0]])
    source = AlphaEarthSource(seam.root)
    values, info = sampler(source, year=2019).sample(points, return_info=True)
    assert info.reason.tolist() == ["no_year", "no_year", "no_coverage"]
    assert np.isnan(values).all()
    filled, info = sampler(source, year=2019, fallback="nearest").sample(points, return_info=True)
    assert_array_equal(filled, sampler(source, year=2022).transform(points))
    assert info.year.tolist() == [2022, 2022, 2019]
    row_years = pd.Series([2023, None, 2023])
    values, info = sampler(source, year=row_years).sample(points, return_info=True)
    assert info.reason.tolist() == ["ok", "no_year", "no_coverage"]


def test_each_touched_block_is_decoded_once_in_any_order_of_points(seam, seam_points, reads):
    rng = np.random.default_rng(0)
    points = seam_points[rng.permutation(np.repeat(np.arange(400), 3))]
    values = sampler(AlphaEarthSource(seam.root), year=2023).transform(points)
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) > 64
    reads.clear()
    ordered = np.lexsort(points.T)
    assert_array_equal(
        sampler(AlphaEarthSource(seam.root), year=2023).transform(points[ordered]), values[ordered]
    )
    assert sorted(block_planes(reads, 16)) == sorted(planes)


def test_only_touched_blocks_and_asked_bands_are_read(seam, reads):
    file = seam.files[0]
    x, y = file.west + 205.0, file.south + 335.0  # column 20, row 33: block (2, 1)
    point = to_lonlat([x], [y], file.epsg)
    picked = sampler(seam.files[0].path, bands=["A63", 2, "A05"])
    assert picked.get_feature_names_out().tolist() == ["A63", "A02", "A05"]
    values = picked.transform(point)
    assert_array_equal(values[0], alphaearth_values(file.stored[[63, 2, 5], 33, 20]))
    assert sorted(block_planes(reads, 16)) == [(file.path, 2, 1, band) for band in (3, 6, 64)]


def test_south_up_north_up_and_virtual_copies_agree(seam, tmp_path):
    file = seam.files[2]
    points, col, row = random_points_in(file.west, file.south, 64, 64, file.epsg, 300, seed=1)
    truth = alphaearth_values(file.stored[:, row, col].T)
    north_up = write_raster(
        tmp_path / "2023" / "north_up.tif",
        np.ascontiguousarray(file.stored[:, ::-1]),
        crs=f"EPSG:{file.epsg}",
        transform=Affine(10, 0, file.west, 0, -10, file.south + 640),
        names=[f"A{band:02d}" for band in range(64)],
        nodata=-128,
    )
    pixel_interleaved = write_alphaearth(
        tmp_path / "2023" / "pixel.tif",
        file.stored,
        epsg=file.epsg,
        west=file.west,
        south=file.south,
        interleave="pixel",
    )
    from rasterio.shutil import copy as gdal_copy

    virtual = tmp_path / "2023" / "copy.vrt"
    gdal_copy(north_up, virtual, driver="VRT")
    for path in (file.path, north_up, pixel_interleaved, virtual):
        assert_array_equal(sampler(AlphaEarthSource(path)).transform(points), truth)


def test_nodata_of_one_year_is_nan_in_that_year_only(seam):
    hole = seam.files[2]
    assert hole.year == 2023
    point = to_lonlat([hole.west + 105.0], [hole.south + 205.0], hole.epsg)
    files = SimpleNamespace(files=[file for file in seam.files if file.zone == "32N"])
    source = AlphaEarthSource([file.path for file in files.files])
    first, second = np.hsplit(sampler(source, year=[2022, 2023]).transform(point), 2)
    assert_array_equal(first, seam_truth(files, point, [2022], by_footprint=False)[0])
    assert np.isfinite(first).all()
    assert np.isnan(second).all()
    values, info = sampler(hole.path, year=2023).sample(point, return_info=True)
    assert np.isnan(values).all()
    assert info.reason.tolist() == ["nodata"]


def test_files_that_an_index_names_but_are_not_there_are_told(seam, seam_points, tmp_path):
    shutil.copytree(seam.root, tmp_path / "mirror")
    gone = next((tmp_path / "mirror" / "2022" / "33N").iterdir())
    gone.unlink()
    index = write_index(seam, "parquet", tmp_path / "index")
    source = AlphaEarthSource(index, root=tmp_path / "mirror")
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there are not: .*33N"):
        values, info = sampler(source, year=2022).sample(seam_points, return_info=True)
    truth, reasons = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    east = seam_points[:, 0] > 12
    assert_array_equal(values[~east], truth[~east])
    lost = east & (reasons == "ok")
    assert np.isnan(values[lost]).all()
    assert (info.reason[lost] == "no_coverage").all()
    assert (info.file[lost] == str(gone)).all()
    with pytest.raises(SourceError, match="should be there"):
        sampler(source, year=2022, on_missing="raise").transform(seam_points)
    report = sampler(source, year=2022).coverage(seam_points)
    assert report.absent_files.tolist() == [1]


def test_prefixes_and_relative_paths_lead_to_the_files(seam, seam_points, tmp_path):
    truth, _ = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    index = write_index(seam, "parquet", tmp_path)
    published = "gs://alphaearth_foundations/satellite_embedding/v1/annual/"
    mapped = AlphaEarthSource(index, prefixes={published: f"{seam.root}/"})
    assert_array_equal(sampler(mapped, year=2022).transform(seam_points), truth)
    frame = seam.index.assign(path=seam.index.path.str.removeprefix(published))
    frame.to_parquet(seam.root / "relative.parquet")
    try:
        beside = AlphaEarthSource(seam.root / "relative.parquet")
        assert_array_equal(sampler(beside, year=2022).transform(seam_points), truth)
    finally:
        (seam.root / "relative.parquet").unlink()


def test_only_the_asked_year_of_a_parquet_index_is_read(seam, tmp_path, monkeypatch):
    index = write_index(seam, "parquet", tmp_path)
    asked = []
    read_table = pq.read_table

    def watching(path, columns=None, filters=None):
        asked.append((columns, filters))
        return read_table(path, columns=columns, filters=filters)

    monkeypatch.setattr(pq, "read_table", watching)
    sampler(AlphaEarthSource(index, root=seam.root), year=2022).transform([[11.9995, 47.0]])
    assert [filters for columns, filters in asked if "path" in columns] == [[("year", "==", 2022)]]


@pytest.mark.parametrize("form", ["polygon", "multipolygon", "box"])
def test_both_sides_of_the_antimeridian(tmp_path, form):
    """Zone 60 ends and zone 1 begins at 180 degrees; 180 and -180 are one place."""
    rows, files = [], {}
    for zone, year_seed in ((60, 1), (1, 2)):
        epsg = 32600 + zone
        x, y = from_lonlat(180.0 if zone == 60 else -180.0, 66.0, epsg)
        west, south = 10 * np.floor(x / 10) - 320, 10 * np.floor(y / 10) - 320
        stored = random_bytes(year_seed, (64, 64, 64))
        path = tmp_path / "2024" / f"{zone}N" / "a.tiff"
        write_alphaearth(path, stored, epsg=epsg, west=west, south=south)
        files[zone] = (stored, west, south, epsg)
        corners = to_lonlat(
            west + np.array([0, 640, 640, 0]), south + np.array([0, 0, 640, 640]), epsg
        )
        jumping = Polygon(corners)
        assert jumping.bounds[2] - jumping.bounds[0] > 359
        turned = np.where(corners[:, :1] < 0, corners[:, :1] + 360, corners[:, :1])
        east_part = Polygon(np.column_stack([turned, corners[:, 1]]))
        halves = shapely.union_all(
            [
                east_part.intersection(shapely.box(0, -90, 180, 90)),
                shapely.transform(
                    east_part.intersection(shapely.box(180, -90, 360, 90)), lambda c: c - [360, 0]
                ),
            ]
        )
        west_edge, south_edge, east_edge, north_edge = east_part.bounds
        rows.append(
            {
                "path": f"s3://x/2024/{zone}N/a.tiff",
                "year": 2024,
                "utm_zone": f"{zone}N",
                "wgs84_west": west_edge,
                "wgs84_south": south_edge,
                "wgs84_east": east_edge - 360,
                "wgs84_north": north_edge,
                "geom": {"polygon": jumping, "multipolygon": halves, "box": None}[form],
            }
        )
    frame = gpd.GeoDataFrame(rows, geometry="geom", crs="EPSG:4326")
    if form == "box":
        pd.DataFrame(frame.drop(columns="geom")).to_parquet(tmp_path / "i.parquet")
    else:
        frame.to_parquet(tmp_path / "i.parquet")
    rng = np.random.default_rng(3)
    lon = np.concatenate([rng.uniform(179.996, 180.004, 100), [180.0, -180.0]])
    lat = np.concatenate([rng.uniform(65.999, 66.001, 100), [66.0003, 66.0003]])
    for source in (AlphaEarthSource(tmp_path / "i.parquet"), AlphaEarthSource(tmp_path / "2024")):
        points = np.column_stack([lon, lat])
        values = sampler(source).transform(points)
        assert_array_equal(values, sampler(source).transform(points - [360.0, 0.0]))
        assert_array_equal(values[-1], values[-2])
        for i in range(102):
            zone = 60 if -180 + (lon[i] + 180) % 360 > 0 else 1
            stored, west, south, epsg = files[zone]
            x, y = from_lonlat(lon[i], lat[i], epsg)
            pixel = stored[:, int((y - south) // 10), int((x - west) // 10)]
            assert_array_equal(values[i], alphaearth_values(pixel))


def test_southern_hemisphere_has_zones_of_its_own(tmp_path):
    """Across the equator the northern and the southern file hold the same places."""
    truth = {}
    for zone, epsg, seed in (("31N", 32631, 1), ("31S", 32731, 2)):
        x, y = from_lonlat(3.0, 0.0, epsg)
        west, south = round(x, -1) - 320, round(y, -1) - 320
        stored = random_bytes(seed, (64, 64, 64))
        write_alphaearth(
            tmp_path / "2020" / zone / "a.tiff", stored, epsg=epsg, west=west, south=south
        )
        truth[zone] = (stored, west, south, epsg)
    points = np.array([[3.0001, 0.001], [3.0001, -0.001], [2.999, 0.0]])
    values = sampler(AlphaEarthSource(tmp_path)).transform(points)
    for (lon, lat), value, zone in zip(points, values, ("31N", "31S", "31N"), strict=True):
        stored, west, south, epsg = truth[zone]
        x, y = from_lonlat(lon, lat, epsg)
        pixel = stored[:, int((y - south) // 10), int((x - west) // 10)]
        assert_array_equal(value, alphaearth_values(pixel))


def test_bytes_delivered_unsigned_are_read_as_signed(tmp_path):
    stored = random_bytes(4, (64, 32, 32), low=-128)
    stored[:, stored[0] == -128] = -128
    path = write_raster(
        tmp_path / "old.tif",
        stored.view(np.uint8),
        crs="EPSG:32632",
        transform=Affine(10, 0, 500000, 0, 10, 5200000),
    )
    points, col, row = random_points_in(500000, 5200000, 32, 32, 32632, 50, seed=2)
    values = sampler(AlphaEarthSource(path)).transform(points)
    expected = alphaearth_values(stored[:, row, col].T)
    expected[np.isnan(expected).any(axis=1)] = np.nan
    assert_array_equal(values, expected)


def test_files_of_another_kind_are_refused(tmp_path):
    path = write_raster(
        tmp_path / "float.tif",
        np.ones((64, 16, 16), np.float32),
        crs="EPSG:32632",
        transform=Affine(10, 0, 500000, 0, 10, 5200000),
    )
    with pytest.raises(RasterMismatchError, match="64 int8"):
        sampler(AlphaEarthSource(path)).transform([[9.0005, 46.95]])
    path = write_raster(
        tmp_path / "other_names.tif",
        np.ones((64, 16, 16), np.int8),
        crs="EPSG:32632",
        transform=Affine(10, 0, 500000, 0, 10, 5200000),
        names=["A00", "B01"],
    )
    with pytest.raises(RasterMismatchError, match="band 2 'B01'"):
        sampler(AlphaEarthSource(path)).transform([[9.0005, 46.95]])
    (tmp_path / "i.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorruptFileError, match="lacks year"):
        sampler(AlphaEarthSource(tmp_path / "i.csv"), year=2020).transform([[9, 47]])


def test_a_pickled_source_is_small_and_answers_the_same(seam, seam_points, tmp_path):
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    values = sampler(source, year=2022).transform(seam_points)
    stored = pickle.dumps(source)
    assert len(stored) < 1000
    assert_array_equal(sampler(pickle.loads(stored), year=2022).transform(seam_points), values)
    assert source.attribution == (
        "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google "
        "DeepMind."
    )
