"""Buckets: asked without an account first, with the one in the environment if that is refused."""

import pytest

from geofeat.exceptions import DownloadError
from geofeat.rasters import _addresses, _object_store, _transport
from geofeat.rasters._remote import read_ranges, remote_stamp
from tests.rasters.http_server import Fault, serving

CONTENT = bytes(range(256)) * 400
VARIABLES = ["GS_USER_PROJECT", "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"]
VARIABLES += ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "AWS_ACCESS_KEY_ID"]
VARIABLES += ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"]
VARIABLES += ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
VARIABLES += ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]


@pytest.fixture(autouse=True)
def clouds(server, monkeypatch):
    """Both clouds are the server, and nobody is logged in."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_addresses, "_GOOGLE", server.address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    monkeypatch.setattr(_transport, "_connections", _transport._Connections())
    _object_store._bucket.cache_clear()
    server.put("/bucket/a/b.bin", CONTENT)
    yield
    _object_store._bucket.cache_clear()


@pytest.mark.parametrize("address", ["gs://bucket/a/b.bin", "s3://bucket/a/b.bin"])
def test_open_buckets_ask_for_nobody(server, transport, address):
    assert read_ranges(address, [(50_000, 10)]) == [CONTENT[50_000:50_010]]
    assert not any("Authorization" in request.headers for request in server.requests)


@pytest.mark.parametrize(("status", "refusals"), [(400, 1), (401, 1), (403, 1)])
def test_a_google_token_and_payer_are_used_where_nobody_is_refused(
    server, monkeypatch, transport, status, refusals
):
    server.faults = [Fault("anonymous", times=None, status=status)]
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.secret")
    monkeypatch.setenv("GS_USER_PROJECT", "forest-maps")
    ranges = [(50_000, 10), (90_000, 20)]
    assert read_ranges("gs://bucket/a/b.bin", ranges) == [CONTENT[a : a + n] for a, n in ranges]
    signed = [r.headers for r in server.requests if "Authorization" in r.headers]
    assert len(signed) == server.count - refusals == 3
    assert {headers["Authorization"] for headers in signed} == {"Bearer ya29.secret"}
    assert {headers["X-Goog-User-Project"] for headers in signed} == {"forest-maps"}


def test_obstore_signs_for_amazon(server, monkeypatch):
    pytest.importorskip("obstore")
    server.faults = [Fault("anonymous", times=None, status=403)]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    ranges = [(50_000, 10), (90_000, 20)]
    assert read_ranges("s3://bucket/a/b.bin", ranges) == [CONTENT[a : a + n] for a, n in ranges]
    signed = [r.headers for r in server.requests if "Authorization" in r.headers]
    assert len(signed) == server.count - 1 == 3
    assert all(h["Authorization"].startswith("AWS4-HMAC-SHA256") for h in signed)
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/a/c\.bin does not exist"):
        remote_stamp("s3://bucket/a/c.bin")
    server.faults = [Fault("status", times=None, status=403)]
    with pytest.raises(DownloadError, match="credentials of the environment") as caught:
        remote_stamp("s3://bucket/a/c.bin")
    assert (caught.value.status, caught.value.attempts) == (403, 1)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gs://bucket/a/b.bin", "GS_USER_PROJECT.*GOOGLE_APPLICATION_CREDENTIALS"),
        ("s3://bucket/a/b.bin", "AWS_ACCESS_KEY_ID.*geofeat"),
    ],
)
def test_without_an_account_the_error_says_how_to_name_one(server, transport, address, words):
    server.faults = [Fault("anonymous", times=None, status=403)]
    with pytest.raises(DownloadError, match=words) as caught:
        remote_stamp(address)
    assert caught.value.status == 403
    assert server.count == 1


def test_plain_addresses_get_no_advice_on_buckets(server):
    server.faults = [Fault("anonymous", times=None, status=403)]
    with pytest.raises(DownloadError, match="403") as caught:
        remote_stamp(server.url("/bucket/a/b.bin"))
    assert "AWS" not in str(caught.value)


def test_an_account_that_is_refused_is_told(server, monkeypatch):
    server.faults = [Fault("status", times=None, status=403)]
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.secret")
    with pytest.raises(DownloadError, match="403") as caught:
        remote_stamp("gs://bucket/a/b.bin")
    assert "ya29" not in str(caught.value)
    assert server.count == 2


def test_tokens_do_not_follow_redirects_to_another_host(server, monkeypatch):
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.secret")
    monkeypatch.setenv("GS_USER_PROJECT", "forest-maps")
    with serving() as other:
        target = other.put("/c.bin", CONTENT)
        server.faults = [
            Fault("status", status=403),
            Fault("redirect", times=None, headers={"Location": target}),
        ]
        assert remote_stamp("gs://bucket/a/b.bin").size == len(CONTENT)
    assert server.requests[1].headers["Authorization"] == "Bearer ya29.secret"
    assert not {"Authorization", "X-Goog-User-Project"} & set(other.requests[0].headers)
