"""Who asks for a remote file: nobody in particular first, the user's account if that is refused."""

from __future__ import annotations

import os
from collections.abc import Callable

from geofeat.exceptions import DownloadError
from geofeat.rasters import _object_store, _transport
from geofeat.rasters._addresses import Address
from geofeat.rasters._transport import Halted, Part, Result, connections, patiently

# Google answers a request without a payer with 400, Amazon a request for a signature with 403.
_REFUSED = {400, 401, 403}


def get_part(
    address: Address,
    start: int,
    stop: int,
    *,
    bulk: bool = False,
    halted: Halted | None = None,
    expected: tuple[int, str] | None = None,
) -> Part:
    """Bytes ``start`` to ``stop`` (exclusive) of a remote file, fewer only at its end.

    Parameters
    ----------
    address : Address
        The file.
    start, stop : int
        First byte, and the one after the last.
    bulk : bool
        Whether obstore may be asked first, where it is installed.
    halted : callable
        Whether nobody waits for the answer any more.
    expected : (int, str)
        Size and tag that an answer of obstore must have to be taken.

    Raises
    ------
    FileNotFoundError, OfflineError, DownloadError
        As `geofeat.rasters._transport.patiently`.
    """
    if bulk and address.bucket not in connections().signed and _object_store.serves(address):
        part = _transport.in_turn(lambda: _object_store.public_part(address, start, stop))
        if part is not None and part[1:] == expected:
            return part

    def ask(headers: dict[str, str]) -> Part:
        return patiently(
            lambda: _transport.get_part(address, start, stop, headers), address, halted=halted
        )

    def sign() -> Part:
        return patiently(
            lambda: _object_store.signed_part(address, start, stop), address, halted=halted
        )

    return as_whoever_may(address, ask, sign)


def as_whoever_may(
    address: Address,
    ask: Callable[[dict[str, str]], Result],
    sign: Callable[[], Result] | None = None,
) -> Result:
    """Ask as nobody in particular; if a bucket refuses that, as the user of the environment.

    Parameters
    ----------
    address : Address
        What is asked for.
    ask : callable
        Makes the request with the headers given to it.
    sign : callable or None
        Makes a request that obstore signs, where that can be done.
    """
    signed = connections().signed
    if address.bucket not in signed:
        try:
            return ask({})
        except DownloadError as error:
            if not address.bucket or error.status not in _REFUSED:
                raise
            if not _google_headers(address) and (sign is None or not _may_sign(address)):
                raise DownloadError(
                    f"{error} {_advice(address)}",
                    url=error.url,
                    status=error.status,
                    attempts=error.attempts,
                ) from error
    signed.add(address.bucket)
    headers = _google_headers(address)
    return ask(headers) if headers or sign is None else sign()


def _may_sign(address: Address) -> bool:
    return _object_store.is_usable() and _object_store.has_credentials(address)


def _google_headers(address: Address) -> dict[str, str]:
    """Headers of a user of Google's cloud; empty unless the environment holds a token."""
    token = os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN", "")
    if not token or not address.bucket.startswith("gs://"):
        return {}
    headers = {"Authorization": f"Bearer {token}"}
    if project := os.environ.get("GS_USER_PROJECT"):
        headers["x-goog-user-project"] = project
    return headers


def _advice(address: Address) -> str:
    if address.bucket.startswith("gs://"):
        return (
            "If the bucket bills the reader, set GS_USER_PROJECT to your project and "
            "GOOGLE_OAUTH_ACCESS_TOKEN to what 'gcloud auth print-access-token' prints, or "
            "GOOGLE_APPLICATION_CREDENTIALS to a key file with 'geofeat[cloud]' installed."
        )
    return (
        "If the bucket is not open to everybody, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(and AWS_REGION) and install 'geofeat[cloud]', which signs requests."
    )
