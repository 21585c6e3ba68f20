"""From the name of a model, a file or a mapping to the arrays of its location network."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from geofeat._downloads import downloads_are_off
from geofeat.embedders import _hub, _weights_store
from geofeat.embedders._npz import is_npz, read_npz
from geofeat.embedders._registry import PretrainedModel, find_model
from geofeat.exceptions import ChecksumError, CorruptFileError

# Networks kept in memory at once. The largest are databases of some hundred megabytes.
_MAX_LOADED = 8


@dataclass(frozen=True, eq=False)
class Weights:
    """Arrays of one location network, shared by all who ask for it.

    Equal only to itself, so that what is derived from it can be cached under it.

    Parameters
    ----------
    source : str
        Where the arrays come from, for messages.
    tensors : mapping of str to ndarray
        Read-only arrays by the names of the network.
    settings : mapping
        Numbers and words that the file tells of the network besides.
    """

    source: str
    tensors: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]


_loaded: dict[object, Weights] = {}
_lock = threading.Lock()


def load_weights(
    name: str,
    *,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    local_files_only: bool | None = None,
) -> Weights:
    """Load the arrays of a model's location network.

    Each network is read once a process. That of a registered model is downloaded once, checked,
    and kept without the image encoder in geofeat's cache folder, where later processes find it.

    Parameters
    ----------
    name : str
        Registered model; with ``weights``, the one whose network those fill.
    weights : path, mapping of str to array or None
        Checkpoint file (read again when it has changed), or arrays by the names of the network or
        the checkpoint (copied, and known again by their contents). None takes the registered file.
    local_files_only : bool or None
        True never opens a connection. Otherwise GEOFEAT_OFFLINE=1 or HF_HUB_OFFLINE=1 forbid it.

    Raises
    ------
    ValueError
        No such model, or one that cannot be downloaded.
    CorruptFileError, UnsafeFileError
        A file that is damaged, holds no such network, or could run code.
    ChecksumError
        A file that is not the published one.
    DownloadError, OfflineError
        A file that cannot be fetched.
    """
    model = find_model(name)
    if weights is None:
        offline = downloads_are_off(local_files_only)
        return _once(("model", model.name), lambda: _registered(model, offline))
    if isinstance(weights, Mapping):
        return _given(model, weights)
    path = Path(weights)
    status = path.stat()
    stamp = (path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)
    return _once((model.keys, *stamp), lambda: _network(model, path))


def _once(key: object, load: Callable[[], Weights]) -> Weights:
    """Load under a key, or hand out what was loaded under it; the oldest entry makes room."""
    found = _loaded.get(key)
    if found is not None:
        return found
    with _lock:
        if key not in _loaded:
            loaded = load()
            while len(_loaded) >= _MAX_LOADED:
                del _loaded[next(iter(_loaded))]
            _loaded[key] = loaded
        return _loaded[key]


def _renew_lock() -> None:
    """Give a forked child a lock that no thread of its parent holds."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _given(model: PretrainedModel, arrays: Mapping[str, Any]) -> Weights:
    """Take arrays of the caller, copied the first time that their contents are seen."""
    source = "the mapping given as weights="
    converted = {str(key): np.asarray(values) for key, values in arrays.items()}
    tensors = _location_part(model, converted, source)
    for key, values in tensors.items():
        if values.dtype.kind not in "fiu":
            raise TypeError(f"weights[{key!r}] has dtype {values.dtype}, expected numbers.")
    digest = hashlib.sha256()
    for key, values in sorted(tensors.items()):
        digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return _once(
        (model.keys, digest.hexdigest()), lambda: Weights(source, _frozen(tensors, copy=True), {})
    )


def _network(model: PretrainedModel, path: Path) -> Weights:
    """Read the location network out of a file."""
    if is_npz(path):
        return Weights(str(path), _frozen(_location_part(model, read_npz(path), str(path))), {})
    from geofeat.embedders._checkpoint import read_checkpoint

    held: list[str] = []

    def is_wanted(key: str) -> bool:
        held.append(key)
        return re.fullmatch(model.keys, key) is not None

    checkpoint = read_checkpoint(path, is_wanted)
    part = _location_part(model, checkpoint.tensors, str(path), held)
    return Weights(str(path), _frozen(part), MappingProxyType(checkpoint.settings))


def _location_part(
    model: PretrainedModel,
    tensors: Mapping[str, np.ndarray],
    source: str,
    held: Iterable[str] | None = None,
) -> dict[str, np.ndarray]:
    """Keep the arrays of the location network, under its own names.

    Checkpoints may hold the network twice, once on its own and once inside the whole model.
    ``held`` are the names of all arrays of the source, where ``tensors`` are not all.
    """
    part: dict[str, np.ndarray] = {}
    for key, values in tensors.items():
        found = re.fullmatch(model.keys, key)
        if found is None:
            continue
        twin = part.setdefault(found[1], values)
        if twin is not values and not (
            twin.dtype == values.dtype and np.array_equal(twin, values, equal_nan=True)
        ):
            raise CorruptFileError(source, f"holds two different arrays {found[1]!r}")
    if not part:
        names = ", ".join(sorted(tensors if held is None else held)[:5])
        raise CorruptFileError(
            source,
            f"holds no network of {model.embedder} ({model.name}), but: {names or 'nothing'}",
        )
    return part


def _frozen(tensors: Mapping[str, np.ndarray], *, copy: bool = False) -> Mapping[str, np.ndarray]:
    """Make arrays read-only that own their memory, and do not keep a whole file alive with it."""
    frozen = {}
    for key, values in tensors.items():
        own = values if values.flags.owndata and not copy else values.copy(order="C")
        own.flags.writeable = False
        frozen[key] = own
    return MappingProxyType(frozen)


def _registered(model: PretrainedModel, offline: bool) -> Weights:
    """Load a registered model: as it was kept before, or from the file in the hub's cache."""
    if model.repo is None or model.file is None:
        raise ValueError(f"{model.name} cannot be downloaded: {model.note}.")
    record = _weights_store.read_record(model)
    if record is not None:
        stored = _weights_store.read_network(record)
        if stored is not None:
            tensors, settings = stored
            source = f"{model.file} of {model.repo}"
            return Weights(source, _frozen(tensors), MappingProxyType(settings))
    path, digest, is_new = _original(model, record, offline)
    network = _network(model, path)
    _weights_store.store(model, network, path, digest, must_succeed=is_new)
    return network


def _original(
    model: PretrainedModel, record: _weights_store.Record | None, offline: bool
) -> tuple[Path, str, bool]:
    """Find or fetch the file of a model; return it, its SHA-256 sum and whether it is new here."""
    revision = model.revision or (record.commit if record else "main")
    expected = model.sha256 or (record.sha256 if record else "")
    cached = _hub.cached_file(model, revision)
    if cached is not None:
        announced = _hub.announced_sha256(cached)
        digest = _sha256(cached)
        if not _differs(model, cached, digest, expected or announced):
            return cached, digest, False
        if offline:
            raise _checksum_error(model, cached, expected or announced, digest)
    elif offline:
        raise _hub.not_here(model)
    _weights_store.require_writable_folder()
    for again in (False, True):
        path, announced = _hub.download(model, revision, again=again)
        digest = _sha256(path)
        if not _differs(model, path, digest, expected or announced):
            return path, digest, True
    error = _checksum_error(model, path, expected or announced, digest)
    _hub.remove(path)
    raise error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differs(model: PretrainedModel, path: Path, digest: str, expected: str) -> bool:
    size = path.stat().st_size
    return model.n_bytes not in {None, size} or expected not in {"", digest}


def _checksum_error(
    model: PretrainedModel, path: Path, expected: str, actual: str
) -> ChecksumError:
    kind, size = "SHA-256 sum", path.stat().st_size
    if model.n_bytes not in {None, size}:
        kind, expected, actual = "size", str(model.n_bytes), str(size)
    reason = f"is not the file of {model.name}: its {kind} is {actual}, expected {expected}"
    record = _weights_store.record_path(model)
    if not model.sha256 and record.exists():
        reason += (
            f", as in the first download. If the authors have replaced the file and you want the "
            f"new one, remove {record}"
        )
    url = f"https://huggingface.co/{model.repo}"
    return ChecksumError(path, reason, expected=expected, actual=actual, url=url)
