"""Networks kept in geofeat's cache folder, and the record of the file that each was taken from.

A record pins what the registry leaves open: the commit and the SHA-256 sum of the first download.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geofeat._versions import cache_folder
from geofeat._whole_file import explain_cache_trouble, remove_stale, write_whole
from geofeat.embedders import _hub
from geofeat.embedders._registry import PretrainedModel

if TYPE_CHECKING:
    from geofeat.embedders._weights import Weights

_MAX_RECORD_BYTES = 100_000


@dataclass(frozen=True)
class Record:
    """The file a network was taken from, and the file it is kept in.

    Parameters
    ----------
    repo, commit, file, sha256 : str
        Place on the hub and hash of the original.
    keys : str
        Pattern that chose the arrays; another one makes the kept network stale.
    kept_sha256 : str
        Hash of the kept network; empty if the original itself is read each time.
    """

    repo: str
    commit: str
    file: str
    sha256: str
    keys: str
    kept_sha256: str


def record_path(model: PretrainedModel) -> Path:
    """Where the record of a model lies."""
    return _folder() / f"{model.name}.json"


def read_record(model: PretrainedModel) -> Record | None:
    """Read the record of a model; None if there is none that fits the registry."""
    path = record_path(model)
    try:
        if path.stat().st_size > _MAX_RECORD_BYTES:
            return None
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    fits = (
        all(isinstance(value, str) for value in asdict(record).values())
        and (record.repo, record.file, record.keys) == (model.repo, model.file, model.keys)
        and model.revision in {None, record.commit}
        and model.sha256 in {None, record.sha256}
        and _is_hex(record.commit, 40)
        and _is_hex(record.sha256, 64)
    )
    return record if fits else None


def read_network(record: Record) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and settings kept under a record; None if they are missing or damaged."""
    if not record.kept_sha256:
        return None
    try:
        content = _network_path(record.sha256).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != record.kept_sha256:
        return None
    from safetensors.numpy import load

    # The header starts after its length, eight bytes long.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return load(content), json.loads(header["__metadata__"]["settings"])


def store(
    model: PretrainedModel, network: Weights, path: Path, digest: str, *, must_succeed: bool
) -> None:
    """Keep a network and the record of its original.

    Parameters
    ----------
    model : PretrainedModel
        The registered model.
    network : Weights
        What was read from it. Of a database, which is as large as its file, only the record is
        kept.
    path, digest : Path, str
        The original in the hub's cache, and its SHA-256 sum.
    must_succeed : bool
        False passes over a folder that cannot be written: all is lost but time.
    """
    try:
        kept = b"" if path.suffix == ".npz" else _serialised(network)
        if kept:
            _write(_network_path(digest), kept)
        record = Record(
            repo=str(model.repo),
            commit=_hub.commit_of(model, path),
            file=str(model.file),
            sha256=digest,
            keys=model.keys,
            kept_sha256=hashlib.sha256(kept).hexdigest() if kept else "",
        )
        _write(record_path(model), json.dumps(asdict(record), indent=1).encode())
    except OSError:
        if must_succeed:
            raise


def require_writable_folder() -> None:
    """Raise before a download whose record could not be kept."""
    folder = _folder()
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise explain_cache_trouble(error, folder, 0) from error
    remove_stale(folder)


def _serialised(network: Weights) -> bytes:
    from safetensors.numpy import save

    settings = json.dumps(dict(network.settings))
    return save(dict(network.tensors), metadata={"settings": settings})


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise explain_cache_trouble(error, path.parent, len(content)) from error


def _folder() -> Path:
    return cache_folder() / "weights"


def _network_path(digest: str) -> Path:
    return _folder() / f"{digest}.safetensors"


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= set("0123456789abcdef")
