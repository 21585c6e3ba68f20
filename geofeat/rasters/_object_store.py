"""Byte ranges through obstore, where it is installed: fast, and able to sign requests.

Whatever fails here is no verdict: the requests of `geofeat.rasters._transport`, which know what
each answer means, are made instead. Only signed buckets have no second way.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from email.utils import format_datetime
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from geofeat.rasters import _transport
from geofeat.rasters._addresses import Address, amazon_region
from geofeat.rasters._transport import AttemptError, Part

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._+=~/-]+")
# A process made by fork has none of the threads that obstore started in its parent.
_started_in: list[int] = []


def is_usable() -> bool:
    """Whether obstore is installed and works in this process."""
    if _started_in and _started_in[0] != os.getpid():
        return False
    return _is_installed()


@lru_cache(maxsize=1)
def _is_installed() -> bool:
    return find_spec("obstore") is not None


def serves(address: Address) -> bool:
    """Whether an address is one of a file that anybody may read under a plain name."""
    parts = urlsplit(address.url)
    return (
        not address.authorization
        and not parts.query
        and _PLAIN_PATH.fullmatch(parts.path) is not None
        and is_usable()
    )


def public_part(address: Address, start: int, stop: int) -> Part | None:
    """Ask for bytes of a public file once; None if that fails, whatever the reason."""
    parts = urlsplit(address.url)
    try:
        store = _server(f"{parts.scheme}://{parts.netloc}")
        return _part(store, parts.path.lstrip("/"), start, stop)
    except Exception:
        return None


def signed_part(address: Address, start: int, stop: int) -> Part:
    """Ask for bytes of an object in a bucket once, with the credentials of the environment."""
    from obstore import exceptions

    try:
        part = _part(_bucket(address.bucket), address.key, start, stop)
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise AttemptError("the bucket has no such object", 404) from error
    except exceptions.BaseError as error:
        reason = str(error).partition("\n")[0][:200]
        refused = isinstance(
            error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
        )
        raise AttemptError(
            f"the bucket cannot be read with the credentials of the environment ({reason})",
            403 if refused else None,
            again=not refused,
        ) from error
    if part is None:
        raise AttemptError("the bucket sends other bytes than those asked for", again=True)
    return part


def has_credentials(address: Address) -> bool:
    """Whether the environment may hold credentials for a bucket that obstore can use."""
    names = {
        "s3": (
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        "gs": (
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
        ),
    }
    return any(os.environ.get(name) for name in names[address.bucket.partition(":")[0]])


def _part(store: Any, key: str, start: int, stop: int) -> Part | None:
    """Bytes of one object; None if they are not the ones asked for."""
    import obstore

    if not _started_in:
        _started_in.append(os.getpid())
    result = obstore.get(store, key, options={"range": (start, stop)})
    meta = result.meta
    kind = str(result.attributes.get("Content-Type", "")).partition(";")[0].strip().lower()
    body = bytes(result.bytes())
    coding = str(result.attributes.get("Content-Encoding", "identity")).lower()
    if (
        kind in _transport.WEB_PAGES
        or coding != "identity"
        or len(body) != min(stop, meta["size"]) - start
    ):
        return None
    tag = meta["e_tag"] or ""
    if not tag or tag.startswith("W/"):
        tag = format_datetime(meta["last_modified"], usegmt=True)
    return Part(body, meta["size"], tag)


@lru_cache(maxsize=16)
def _server(base: str) -> Any:
    from obstore.store import HTTPStore

    return HTTPStore.from_url(base, client_options=_client(base), retry_config=_NO_RETRIES)


@lru_cache(maxsize=16)
def _bucket(bucket: str) -> Any:
    from obstore.store import GCSStore, S3Store

    scheme, _, name = bucket.partition("://")
    if scheme == "gs":
        client = _client("https:")
        if project := os.environ.get("GS_USER_PROJECT"):
            client["default_headers"] = {"x-goog-user-project": project}
        return GCSStore(name, client_options=client, retry_config=_NO_RETRIES)
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "https:")
    return S3Store(
        name,
        region=amazon_region(),
        virtual_hosted_style_request=False,
        client_options=_client(endpoint),
        retry_config=_NO_RETRIES,
    )


_NO_RETRIES = {"max_retries": 0}


def _client(base: str) -> dict[str, Any]:
    return {
        "allow_http": base.startswith("http:"),
        "connect_timeout": timedelta(seconds=_transport.CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=_transport.SILENT_SECONDS),
        "timeout": timedelta(minutes=10),
        "user_agent": "geofeat",
    }
