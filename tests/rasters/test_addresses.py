"""Where remote files are asked for, and what no name of an index leads to."""

import base64

import pytest

from geofeat.exceptions import SourceError, UnsafeFileError
from geofeat.rasters._addresses import in_region, is_remote, join_url, redirected, resolve


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("https://example.org/a.tif", True),
        ("HTTP://127.0.0.1/a.tif", True),
        ("s3://bucket/a.tif", True),
        ("gs://bucket/a.tif", True),
        ("/vsicurl/https://example.org/a.tif", False),
        ("ftp://example.org/a.tif", False),
        ("/data/a.tif", False),
        ("C:/data/a.tif", False),
    ],
)
def test_remote_paths_are_told_by_their_scheme(path, remote):
    assert is_remote(path) is remote


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (
            "gs://alphaearth_foundations/v1/2023/1N/x-1.tiff",
            "https://storage.googleapis.com/alphaearth_foundations/v1/2023/1N/x-1.tiff",
        ),
        (
            "s3://us-west-2.opendata.source.coop/tge-labs/aef/x.tiff",
            "https://data.source.coop/tge-labs/aef/x.tiff",
        ),
        (
            "s3://bucket.of.mine/a b.tif",
            "https://s3.us-west-2.amazonaws.com/bucket.of.mine/a%20b.tif",
        ),
        ("https://example.org/a%20b~1.tif?key=1", "https://example.org/a%20b~1.tif?key=1"),
    ],
)
def test_buckets_are_asked_by_https(path, url, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert resolve(path).url == url


def test_region_and_endpoint_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert resolve("s3://mine/k.tif").url == "https://s3.eu-central-1.amazonaws.com/mine/k.tif"
    monkeypatch.setenv("AWS_REGION", "evil.org/")
    with pytest.raises(ValueError, match="AWS_REGION"):
        resolve("s3://mine/k.tif")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9000/")
    assert resolve("s3://mine/k.tif").url == "http://localhost:9000/mine/k.tif"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example.org")
    with pytest.raises(SourceError, match="use https"):
        resolve("s3://mine/k.tif")


def test_user_and_password_go_into_a_header_and_into_no_message():
    address = resolve("https://me:p%40ss@example.org:8443/a.tif?sig=abc")
    assert address.url == "https://example.org:8443/a.tif?sig=abc"
    assert address.shown == "https://example.org:8443/a.tif"
    assert base64.b64decode(address.authorization.removeprefix("Basic ")) == b"me:p@ss"


@pytest.mark.parametrize(
    "path",
    ["http://example.org/a.tif", "http://127.0.0.1.example.org/a.tif", "https:///a", "gs://b"],
)
def test_plain_http_and_incomplete_addresses_are_refused(path):
    with pytest.raises(SourceError):
        resolve(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.9.1:80"])
def test_plain_http_leads_to_this_computer_only(host):
    assert resolve(f"http://{host}/a.tif").url == f"http://{host}/a.tif"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://a.org/b"),
        ("https://b.org/c", "https://b.org/c"),
        ("http://b.org/c", None),
        ("http://127.0.0.1/c", None),
        ("file:///etc/passwd", None),
        ("ftp://b.org/c", None),
        ("https://user@b.org/c", None),
    ],
)
def test_redirects_stay_with_https(location, target):
    assert redirected("https://a.org/a", location) == target


def test_a_bucket_in_another_region_is_asked_there():
    url = "https://s3.us-west-2.amazonaws.com/b/k"
    assert in_region(url, "eu-west-1") == "https://s3.eu-west-1.amazonaws.com/b/k"
    assert in_region(url, "eu-west-1.evil.org/") is None
    assert in_region("https://example.org/b/k", "eu-west-1") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a.tif",
        "a/../../b.tif",
        "a/./b",
        "/a.tif",
        "//evil.org/a.tif",
        "https://evil.org/a.tif",
        "a\\b",
        "a\x00b",
        "a b",
        "a%2e%2e/b",
        "a?b",
        "a#b",
        "a@evil.org",
        "a:80/b",
        "a//b",
        "a/",
        "x" * 256,
        "/".join(["y" * 200] * 6),
        "a\n",
        "ä.tif",
        None,
        7,
    ],
)
def test_hostile_names_lead_nowhere(name):
    with pytest.raises(UnsafeFileError):
        join_url("https://example.org/data/", name)


def test_plain_names_are_joined_below_the_base():
    base = "https://data.source.coop/tessera/tessera"
    name = "npy/v2-2B-L~beta1/2024/grid_-0.05_51.45/grid_-0.05_51.45.npy"
    assert join_url(base, name) == f"{base}/{name}"
    assert join_url("gs://bucket/a/", "b.tif") == "gs://bucket/a/b.tif"
