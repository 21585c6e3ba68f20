"""Files of the Hugging Face hub: found in its cache or downloaded, with errors in plain words."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from geofeat._downloads import ATTEMPTS, judge_status, pause_after, without_secrets
from geofeat.embedders._registry import PretrainedModel
from geofeat.exceptions import ChecksumError, DownloadError, LimitError, OfflineError

_MAX_BYTES = 4 * 2**30
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

Result = TypeVar("Result")


def cached_file(model: PretrainedModel, revision: str) -> Path | None:
    """Find a file in the hub's cache folder, without a connection."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        str(model.repo), str(model.file), revision=revision, repo_type=model.repo_type
    )
    return Path(found) if isinstance(found, str) else None


def download(model: PretrainedModel, revision: str, *, again: bool = False) -> tuple[Path, str]:
    """Fetch a file into the hub's cache folder.

    The hub is asked first what it holds, so that a wrong size, a full disk or a long wait is told
    before a byte is fetched.

    Parameters
    ----------
    model : PretrainedModel
        What to fetch.
    revision : str
        Commit or branch.
    again : bool
        Fetch it although the cache holds it.

    Returns
    -------
    path : Path
        The file.
    announced : str
        The SHA-256 sum that the hub states for it; empty if it states none.

    Raises
    ------
    DownloadError
        After the last attempt, or at once where another would be in vain.
    OfflineError
        The hub's library was told to stay offline.
    ChecksumError
        The hub holds a file of another size.
    PermissionError, OSError
        The cache folder cannot be written, or the disk is full.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    repo, file = str(model.repo), str(model.file)
    address = hf_hub_url(
        repo, file, repo_type=model.repo_type, revision=revision, endpoint=endpoint
    )
    url = without_secrets(address)
    held = _with_patience(lambda: get_hf_file_metadata(address), model, url)
    if held.commit_hash is None or held.etag is None or held.size is None:
        raise _download_error(model, url, "what answers there is no hub: a proxy, a login page?")
    _check_size(model, url, held.size)
    path = _with_patience(
        lambda: hf_hub_download(
            repo,
            file,
            repo_type=model.repo_type,
            revision=revision,
            endpoint=endpoint,
            force_download=again,
        ),
        model,
        url,
        held.size,
    )
    return Path(path), _sha256_tag(held.etag)


def announced_sha256(path: Path) -> str:
    """Read a hash from the hub's cache, where the names of blobs are entity tags; empty if none."""
    return _sha256_tag(path.resolve().name)


def remove(path: Path) -> None:
    """Take a file that is not what it should be out of the hub's cache."""
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)


def commit_of(model: PretrainedModel, path: Path) -> str:
    """Read the commit from a path in the hub's cache: ``snapshots/<commit>/<file>``."""
    return path.parents[str(model.file).count("/")].name


def not_here(model: PretrainedModel) -> OfflineError:
    """Error of a file that is in no cache while downloads are switched off."""
    url = f"https://huggingface.co/{model.repo}"
    return OfflineError(
        f"{model.file} of {model.repo} is not in the cache folder {_cache_folder()}, and downloads "
        "are switched off (local_files_only=True, GEOFEAT_OFFLINE or HF_HUB_OFFLINE). "
        + _by_hand(model),
        url=url,
    )


def _sha256_tag(tag: str) -> str:
    """Pass the entity tag of a large file, its SHA-256 sum; that of a small one is a git hash."""
    return tag if re.fullmatch("[0-9a-f]{64}", tag) else ""


def _check_size(model: PretrainedModel, url: str, size: int) -> None:
    """Refuse a file of the wrong size, an enormous one, and one for which there is no room."""
    if model.n_bytes not in {None, size}:
        raise ChecksumError(
            model.file,
            f"has {size} bytes at {url}, {model.name} has {model.n_bytes}: the file was replaced",
            expected=str(model.n_bytes),
            actual=str(size),
            url=url,
        )
    if size > _MAX_BYTES:
        raise LimitError(f"{url} has {size} bytes, the bound for a model is {_MAX_BYTES}.")
    folder = _cache_folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if shutil.disk_usage(folder).free < size:
        raise _disk_full(model, size)


def _with_patience(
    call: Callable[[], Result], model: PretrainedModel, url: str, size: int = 0
) -> Result:
    """Call until it succeeds, another attempt is in vain or the last one has failed."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except Exception as error:
            _raise_local_trouble(error, model, size)
            reason, wait = _judge(error, attempt)
            if wait is None or attempt == ATTEMPTS:
                failure = _download_error(model, url, reason, _status(error), attempt)
                raise failure from error
        time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _raise_local_trouble(error: Exception, model: PretrainedModel, size: int) -> None:
    """Raise what no further attempt mends: settings, a full disk, a folder that is not ours."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        raise not_here(model) from error
    # Errors of the connection carry no number: the libraries wrap them.
    if not isinstance(error, OSError) or error.errno is None:
        return
    if error.errno in _DISK_FULL:
        raise _disk_full(model, size) from error
    message = (
        f"the hub's cache folder cannot be written ({error.strerror}); "
        "set HF_HUB_CACHE to a folder that can"
    )
    kind = PermissionError if error.errno == errno.EROFS else OSError
    raise kind(error.errno, message, str(_cache_folder())) from error


def _disk_full(model: PretrainedModel, size: int) -> OSError:
    folder = _cache_folder()
    try:
        free = f"{shutil.disk_usage(folder).free} are free"
    except OSError:
        free = "fewer are free"
    message = f"no space left for {model.file}: it needs {size} bytes, {free}"
    return OSError(errno.ENOSPC, message, str(folder))


def _judge(error: Exception, attempt: int) -> tuple[str, float | None]:
    """Reason in plain words, and the seconds until another attempt; None if that is in vain."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    status = _status(error)
    # The library raises this after attempts of its own.
    if isinstance(error, LocalEntryNotFoundError):
        return f"the hub cannot be reached{f' (status {status})' if status else ''}", None
    if status in {401, 403}:
        reason = (
            f"the hub refuses it (status {status}): the repository is gone, private or gated; if "
            "gated, accept its terms on its page and log in with 'hf auth login'"
        )
        return reason, None
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision (status 404)", None
    if status in {404, 410}:
        return f"the hub has no such file (status {status})", None
    if status is not None:
        headers = getattr(getattr(error, "response", None), "headers", {})
        reason, wait = judge_status(status, str(headers.get("Retry-After", "")), attempt)
        return f"the hub {reason}", wait
    return f"the connection failed ({type(error).__name__})", pause_after(attempt)


def _status(error: BaseException | None) -> int | None:
    """Status of the answer that an error or one of its causes holds."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        error = error.__cause__
    return None


def _download_error(
    model: PretrainedModel, url: str, reason: str, status: int | None = None, attempts: int = 1
) -> DownloadError:
    message = f"{model.file} cannot be downloaded from {url}: {reason}. {_by_hand(model)}"
    return DownloadError(message, url=url, status=status, attempts=attempts)


def _by_hand(model: PretrainedModel) -> str:
    kind = " --repo-type dataset" if model.repo_type == "dataset" else ""
    return (
        f"Fetch it where there is a connection and pass its path as weights=, or fill the hub's "
        f"cache ({_cache_folder()}) with: hf download {model.repo} {model.file}{kind}"
    )


def _cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
