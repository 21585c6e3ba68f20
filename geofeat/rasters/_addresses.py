"""Addresses of remote files: what may be asked, and where buckets are reached by https."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from geofeat._downloads import without_secrets
from geofeat.exceptions import SourceError, UnsafeFileError

_REMOTE = re.compile(r"^(https?|s3|gs)://", re.IGNORECASE)
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._+=~-]{1,255}"
_NAME = re.compile(f"{_PART}(?:/{_PART})*")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
# Source Cooperative serves its bucket through a proxy of its own, which asks for no account.
_PROXIES = {"us-west-2.opendata.source.coop": "https://data.source.coop"}
_GOOGLE = "https://storage.googleapis.com"
_AMAZON_HOST = re.compile(r"s3\.[a-z0-9-]+\.amazonaws\.com")


class Address(NamedTuple):
    """Where a remote file is asked for.

    Attributes
    ----------
    shown : str
        As the user wrote it, without user names, passwords and query: for messages.
    url : str
        By https (or http on this computer), without user name and password.
    authorization : str
        Header for the user name and password of the address; empty if it has none.
    bucket : str
        ``s3://name`` or ``gs://name`` where the address was one of a bucket, else empty.
    key : str
        Name of the object in its bucket.
    """

    shown: str
    url: str
    authorization: str = ""
    bucket: str = ""
    key: str = ""


def is_remote(path: str) -> bool:
    """Whether a path is an address of the schemes https, http, s3 or gs."""
    return bool(_REMOTE.match(path))


def shown(path: str) -> str:
    """Path as messages tell it: an address without user name, password and query."""
    return without_secrets(path) if is_remote(path) else path


def resolve(path: str) -> Address:
    """Find where a remote path is asked for.

    Raises
    ------
    SourceError
        The address is incomplete, or one of http that does not lead to this computer.
    """
    parts = urlsplit(path)
    scheme, name = parts.scheme.lower(), without_secrets(path)
    if scheme in ("s3", "gs"):
        return _in_bucket(scheme, path, name)
    if scheme not in ("https", "http") or not parts.hostname:
        raise SourceError(name, "is no address of a file: https://, s3:// or gs:// are read")
    if scheme == "http" and not is_loopback(parts.hostname):
        raise SourceError(name, "goes by http, which anybody on the way can alter; use https")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    host = parts.netloc.rpartition("@")[2]
    # What is written as it is gets its escapes; escapes that are there stay.
    escaped = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return Address(name, urlunsplit((scheme, host, escaped, parts.query, "")), authorization)


def _in_bucket(scheme: str, path: str, name: str) -> Address:
    bucket, _, key = path.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket) or not key:
        raise SourceError(name, f"is no address of a file: {scheme}://bucket/name is")
    if scheme == "gs":
        base = f"{_GOOGLE}/{bucket}"
    elif bucket in _PROXIES and "AWS_ENDPOINT_URL" not in os.environ:
        base = _PROXIES[bucket]
    else:
        base = f"{_amazon_endpoint()}/{bucket}"
    found = resolve(f"{base}/{quote(key, safe='/~')}")
    return found._replace(shown=name, bucket=f"{scheme}://{bucket}", key=key)


def _amazon_endpoint() -> str:
    """Where buckets of S3 are asked by path: names with dots have no certificate of their own."""
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        return endpoint.rstrip("/")
    return f"https://s3.{amazon_region()}.amazonaws.com"


def amazon_region() -> str:
    """Region of AWS that the environment names, or the one where most open data lie."""
    found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-west-2"
    if not _REGION.fullmatch(found):
        raise ValueError(f"AWS_REGION must be such as us-west-2, got {found!r}")
    return found


def in_region(url: str, region: str) -> str | None:
    """Move an address of S3 to the region where the server says that the bucket lies."""
    parts = urlsplit(url)
    if not _AMAZON_HOST.fullmatch(parts.netloc) or not _REGION.fullmatch(region):
        return None
    return urlunsplit(parts._replace(netloc=f"s3.{region}.amazonaws.com"))


def is_loopback(host: str) -> bool:
    """Whether a host is this computer."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def redirected(url: str, location: str) -> str | None:
    """Address that an answer sends to; None if it must not be followed."""
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    if not after.hostname or after.username is not None:
        return None
    if after.scheme == "https":
        return target
    loopback = is_loopback(after.hostname) and before.scheme == "http"
    return target if after.scheme == "http" and loopback else None


def same_place(url: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    return urlsplit(url)[:2] == urlsplit(other)[:2]


def join_url(base: str, name: str) -> str:
    """Address of a file below a base, for a name that came from an index or registry.

    Parameters
    ----------
    base : str
        Address of a folder.
    name : str
        Such as ``2024/32N/x.tiff``: letters, digits and ``. _ + = ~ -`` in parts of at most 255.

    Raises
    ------
    UnsafeFileError
        The name could lead elsewhere.

    Examples
    --------
    >>> join_url("https://example.org/data/", "2024/a.tiff")
    'https://example.org/data/2024/a.tiff'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 1024:
        raise UnsafeFileError(without_secrets(base), f"has no file {name!r}: this is no plain name")
    parts = urlsplit(base)
    joined = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
    if not same_place(joined, base):
        raise UnsafeFileError(without_secrets(base), f"has no file {name!r}: it leads elsewhere")
    return joined
