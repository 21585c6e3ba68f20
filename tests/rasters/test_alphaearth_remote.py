"""AlphaEarth over a network: which place an index leads to, what travels, what is kept."""

import io
import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat import AlphaEarthSource, EmbeddingRasterSampler
from geofeat.exceptions import (
    CoverageWarning,
    OfflineError,
    SourceError,
    UnsafeFileError,
)
from geofeat.rasters import _alphaearth
from geofeat.rasters._alphaearth_index import AlphaEarthIndex
from geofeat.rasters._remote import forget
from tests.rasters.conftest import seam_truth
from tests.rasters.http_server import serving
from tests.rasters.writers import write_index

GOOGLE = "gs://alphaearth_foundations/satellite_embedding/v1/annual"
BUCKET = "s3://us-west-2.opendata.source.coop/tge-labs/aef/v1/annual"
ANNUAL = "/us-west-2.opendata.source.coop/tge-labs/aef/v1/annual"
HERE = [[11.9995, 47.0]]


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    for name in ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    forget()
    with serving() as files:
        monkeypatch.setenv("AWS_ENDPOINT_URL", files.address)
        yield files
    forget()


def parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def annual(server, seam):
    """The files and the index as at Source Cooperative; address of the folder."""
    for file in seam.files:
        path = "/".join(file.path.split("/")[-3:])
        server.put(f"{ANNUAL}/{path}", seam.root / path)
    put_index(server, seam.index.assign(path=seam.index.path.str.replace(GOOGLE, BUCKET)))
    return server.url(ANNUAL)


def put_index(server, frame):
    server.put(f"{ANNUAL}/aef_index.parquet", parquet(frame))


def truth_of(seam, points, year):
    return seam_truth(seam, points, [year] * len(points), by_footprint=True)


def index_requests(server):
    return [request for request in server.requests if request.path.endswith(".parquet")]


@pytest.mark.parametrize("year", [2022, 2023])
def test_an_index_on_a_server_leads_to_the_files_it_names(server, annual, seam, seam_points, year):
    truth, reasons = truth_of(seam, seam_points, year)
    for address in (annual, f"{annual}/aef_index.parquet", f"{BUCKET}/aef_index.parquet"):
        source = AlphaEarthSource(address)
        values, info = sampler(source, year=year).sample(seam_points, return_info=True)
        assert_array_equal(values, truth)
        assert_array_equal(info.reason == "ok", reasons == "ok")
        assert source.years == (2022, 2023)
    by_address = sampler(f"{annual}/aef_index.parquet", year=year)  # a path picks its source
    assert_array_equal(by_address.transform(seam_points), truth)
    found = info.file[info.reason == "ok"]
    assert found.astype(str).str.startswith(f"{BUCKET}/{year}/").all()


def test_a_stac_index_on_a_server(server, annual, seam, seam_points, tmp_path):
    server.put("/stac.parquet", write_index(seam, "stac-parquet", tmp_path / "i"))
    prefixes = {"s3://mirror/satellite_embedding/v1/annual": annual}
    source = AlphaEarthSource(server.url("/stac.parquet"), prefixes=prefixes)
    assert source.years == (2022, 2023)
    truth, _ = truth_of(seam, seam_points, 2023)
    assert_array_equal(sampler(source, year=2023).transform(seam_points), truth)


def test_the_public_indexes_are_built_in(server, annual, seam, seam_points, monkeypatch):
    home = "https://data.source.coop/tge-labs/aef/v1/annual/aef_index.parquet"
    assert AlphaEarthSource.source_cooperative == home
    assert AlphaEarthSource.google_cloud == f"{GOOGLE}/aef_index.parquet"
    source = AlphaEarthSource()
    assert repr(source) == "AlphaEarthSource()"
    assert source.band_names[0] == "A00"
    assert server.requests == []
    monkeypatch.setattr(_alphaearth, "SOURCE_COOPERATIVE", f"{annual}/aef_index.parquet")
    truth, _ = truth_of(seam, seam_points, 2022)
    assert_array_equal(sampler(source, year=2022).transform(seam_points), truth)


@pytest.mark.parametrize("scheme", ["gs", "s3", "relative", "own"])
def test_prefixes_and_the_folder_of_the_index(server, annual, seam, seam_points, scheme):
    other = {"gs": GOOGLE, "s3": "s3://elsewhere/aef", "relative": "", "own": annual}[scheme]
    paths = seam.index.path.str.replace(GOOGLE, other).str.lstrip("/")
    put_index(server, seam.index.assign(path=paths))
    prefixes = {other: annual} if scheme in ("gs", "s3") else None
    source = AlphaEarthSource(f"{annual}/aef_index.parquet", prefixes=prefixes)
    truth, _ = truth_of(seam, seam_points, 2023)
    assert_array_equal(sampler(source, year=2023).transform(seam_points), truth)


def test_of_a_local_index_the_mirrored_years_are_local(server, annual, seam, seam_points, tmp_path):
    """A folder of the year beside the index is a mirror, even one with gaps; else files travel."""
    index = write_index(seam, "parquet", tmp_path / "index")
    frame = seam.index.assign(path=seam.index.path.str.replace(GOOGLE, BUCKET))
    frame.to_parquet(index)
    shutil.copytree(seam.root / "2023", index.parent / "2023")
    gone = next((index.parent / "2023" / "33N").iterdir())
    gone.unlink()
    task = sampler(AlphaEarthSource(index), year=2023)
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there are not: .*33N"):
        values = task.transform(seam_points)
    truth, _ = truth_of(seam, seam_points, 2023)
    assert_array_equal(values[seam_points[:, 0] < 12], truth[seam_points[:, 0] < 12])
    assert server.requests == []
    truth, _ = truth_of(seam, seam_points, 2022)
    assert_array_equal(sampler(AlphaEarthSource(index), year=2022).transform(seam_points), truth)
    assert {request.path.split("/")[-3] for request in server.requests} == {"2022"}


def test_a_root_may_be_a_server(server, annual, seam, seam_points, tmp_path):
    index = write_index(seam, "csv", tmp_path / "index")
    truth, _ = truth_of(seam, seam_points, 2022)
    source = AlphaEarthSource(index, root=annual)
    assert_array_equal(sampler(source, year=2022).transform(seam_points), truth)


def test_a_local_root_keeps_a_remote_index_from_the_network(server, annual, seam, seam_points):
    truth, _ = truth_of(seam, seam_points, 2022)
    source = AlphaEarthSource(f"{annual}/aef_index.parquet", root=seam.root)
    assert_array_equal(sampler(source, year=2022).transform(seam_points), truth)
    assert all(request.path.endswith(".parquet") for request in server.requests)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/2022/32N/a.tiff",
        "{other}/2022/32N/a.tiff",
        "s3://mine/2022/32N/a.tiff",
        "gs://alphaearth_foundations.evil/2022/32N/a.tiff",
        "gs://alphaearth_foundations/../evil/a.tiff",
        "gs://alphaearth_foundations/%2e%2e/evil/a.tiff",
        "https://user:word@data.source.coop/tge-labs/aef/a.tiff",
        "https://data.source.coop@evil.example/tge-labs/aef/a.tiff",
        "https://data.source.coop/tge-labs/aef/a.tiff?to=x.tiff",
        "https://data.source.coop/tge-labs/aef/a.tiff#.tiff",
        "https://data.source.coop/tge-labs/aef//a.tiff",
        "https://data.source.coop/tge-labs/aef/a.vrt",
        "s3://us-west-2.opendata.source.coop/tge-labs/aef/a b.tiff",
        "file:///etc/passwd.tiff",
        "/vsicurl/https://evil.example/a.tiff",
        "/etc/secret.tiff",
        "../../up.tiff",
        "//evil.example/a.tiff",
        "\\\\evil\\a.tiff",
        "2022/32N/\u202eaff.tiff",
    ],
)
def test_names_that_lead_elsewhere_are_refused_and_nobody_is_asked(server, annual, seam, path):
    with serving() as other:
        frame = seam.index.copy()
        path = path.format(other=other.address)
        frame.loc[frame.index[1], "path"] = path
        put_index(server, frame)
        with pytest.raises(UnsafeFileError, match="row 1 of 2022 names") as caught:
            sampler(AlphaEarthSource(annual), year=2022).transform(HERE)
        assert repr(path) in str(caught.value)
        assert other.requests == []
    assert {request.path for request in server.requests} == {f"{ANNUAL}/aef_index.parquet"}


def test_files_that_are_not_on_the_server_are_told(server, annual, seam, seam_points):
    gone = next(path for path in server.files if "/2022/33N/" in path)
    del server.files[gone]
    source = AlphaEarthSource(annual)
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there are not") as told:
        values, info = sampler(source, year=2022).sample(seam_points, return_info=True)
    assert gone.removeprefix(ANNUAL) in str(told[0].message)
    truth, reasons = truth_of(seam, seam_points, 2022)
    east = seam_points[:, 0] > 12
    assert_array_equal(values[~east], truth[~east])
    assert (info.reason[east & (reasons == "ok")] == "no_coverage").all()


def test_a_later_process_does_not_ask_for_the_index(server, annual, seam, seam_points):
    for year in (2022, 2023):
        sampler(AlphaEarthSource(annual), year=year).transform(seam_points)
    server.forget()
    forget()
    both = sampler(AlphaEarthSource(annual), year=[2022, 2023]).transform(seam_points)
    truth = [truth_of(seam, seam_points, year)[0] for year in (2022, 2023)]
    assert_array_equal(both, np.hstack(truth))
    assert index_requests(server) == []


def test_a_missing_year_is_told_from_a_missing_place(server, annual, seam):
    points = np.array([[11.9995, 47.0], [15.0, 47.0]])
    _, info = sampler(AlphaEarthSource(annual), year=2019).sample(points, return_info=True)
    assert info.reason.tolist() == ["no_year", "no_coverage"]
    assert all(request.path.endswith(".parquet") for request in server.requests)


def test_of_a_large_index_only_the_columns_needed_travel(server, annual, seam, seam_points):
    """Columns that nobody asked for are most of the file here."""
    rng = np.random.default_rng(0)
    frame = seam.index.loc[seam.index.index.repeat(100)].reset_index(drop=True)
    frame["heavy"] = [rng.bytes(5000) for _ in range(len(frame))]
    frame["path"] = frame.path.str.replace(GOOGLE, BUCKET)
    put_index(server, frame)
    source = AlphaEarthSource(annual)
    values = sampler(source, year=2022).transform(seam_points[:50])
    assert_array_equal(values, truth_of(seam, seam_points[:50], 2022)[0])
    sent = sum(last + 1 - first for _, _, (first, last), _ in index_requests(server))
    assert sent < 200_000 < len(server.files[f"{ANNUAL}/aef_index.parquet"]) / 10


def test_offline_the_cache_is_enough_or_says_what_is_lacking(
    server, annual, seam, seam_points, monkeypatch, tmp_path
):
    truth, _ = truth_of(seam, seam_points, 2022)
    assert_array_equal(sampler(AlphaEarthSource(annual), year=2022).transform(seam_points), truth)
    server.forget()
    forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_array_equal(sampler(AlphaEarthSource(annual), year=2022).transform(seam_points), truth)
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "empty"))
    forget()
    with pytest.raises(OfflineError, match=r"aef_index\.parquet"):
        sampler(AlphaEarthSource(annual), year=2022).transform(seam_points)
    assert server.requests == []


def test_forms_that_are_not_read_by_network_are_told(server, annual):
    with pytest.raises(SourceError, match="is not parquet"):
        _ = AlphaEarthSource(f"{annual}/aef_index.csv").years
    with pytest.raises(FileNotFoundError, match=r"other/aef_index\.parquet"):
        _ = AlphaEarthSource(server.url("/other/")).years


def test_a_public_index_of_google_leads_to_google(seam, tmp_path):
    """Addresses only: nothing is asked for."""
    index = AlphaEarthIndex(
        str(write_index(seam, "parquet", tmp_path / "i")), None, {}, lambda header: header
    )
    layer = index.layer(2022)
    assert layer.paths == seam.index.path[seam.index.year == 2022].tolist()
