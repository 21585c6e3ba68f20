"""Weights by name, file and mapping: right arrays or the stated error; fetched once, read once."""

import copy
import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.embedders import _hub, _weights
from geofeat.embedders._weights import load_weights
from geofeat.exceptions import (
    ChecksumError,
    CorruptFileError,
    DownloadError,
    GeofeatError,
    LimitError,
    OfflineError,
)
from tests.embedders.hub import COMMIT, Fault, status

TINY_FILE = "geofeat-tests/tiny/folder/tiny.safetensors"


def same(weights, network):
    assert weights.tensors.keys() == network.keys()
    for key, values in network.items():
        assert_array_equal(weights.tensors[key], values)
        assert weights.tensors[key].dtype == values.dtype
        assert not weights.tensors[key].flags.writeable
    return True


def forget():
    """Be a new process: nothing in memory."""
    _weights._loaded.clear()


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.suffix in {".tmp", ".incomplete"}]


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


# Names


def test_a_name_is_downloaded_once_and_only_the_location_network_is_kept(hub, network, caches):
    weights = load_weights("tiny")
    assert same(weights, network)
    # The hub is asked, its library asks again, and the file is fetched.
    assert hub.count == {"HEAD": 2, "GET": 1}
    assert load_weights("tiny") is weights
    forget()
    assert same(load_weights("tiny"), network)
    assert hub.count.total() == 3
    assert not leftovers(caches)


def test_the_original_may_go_once_the_network_is_kept(hub, network, caches, no_sockets_after):
    load_weights("tiny")
    shutil.rmtree(caches / "hub")
    forget()
    no_sockets_after()
    assert same(load_weights("tiny"), network)


@pytest.fixture
def no_sockets_after(request):
    return lambda: request.getfixturevalue("no_sockets")


def test_what_is_kept_is_small_and_named_by_the_original(hub, checkpoint, caches):
    load_weights("tiny")
    kept = caches / "geofeat" / "weights" / f"{hashlib.sha256(checkpoint).hexdigest()}.safetensors"
    assert kept.stat().st_size < len(checkpoint) / 20
    record = json.loads((kept.parent / "tiny.json").read_text())
    assert record["commit"] == COMMIT
    assert record["sha256"] == kept.stem


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage", "gone"])
@pytest.mark.parametrize("original", ["there", "gone"])
def test_a_damaged_kept_network_is_rebuilt(hub, network, checkpoint, caches, damage, original):
    load_weights("tiny")
    kept = caches / "geofeat" / "weights" / f"{hashlib.sha256(checkpoint).hexdigest()}.safetensors"
    content = kept.read_bytes()
    kept.unlink()
    if damage == "cut":
        kept.write_bytes(content[:-8])
    elif damage == "flip":
        kept.write_bytes(content[:-3] + bytes([content[-3] ^ 64]) + content[-2:])
    elif damage == "garbage":
        kept.write_bytes(b"garbage")
    if original == "gone":
        shutil.rmtree(caches / "hub")
    forget()
    assert same(load_weights("tiny"), network)
    assert kept.read_bytes() == content


def test_a_folder_in_the_place_of_the_kept_network_costs_time_only(hub, network, caches):
    load_weights("tiny")
    kept = next((caches / "geofeat" / "weights").glob("*.safetensors"))
    kept.unlink()
    kept.mkdir()
    forget()
    assert same(load_weights("tiny"), network)
    assert hub.count["GET"] == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"repo": 1}', "null", "{}" * 100_000, '{"sha256": "../x"}']
)
def test_a_damaged_record_is_no_record(hub, network, caches, text):
    load_weights("tiny")
    record = caches / "geofeat" / "weights" / "tiny.json"
    good = record.read_text()
    record.write_text(text)
    forget()
    assert same(load_weights("tiny"), network)
    assert record.read_text() == good


@pytest.mark.parametrize("field", ["commit", "sha256", "kept_sha256"])
def test_a_record_cannot_lead_out_of_the_folder(hub, network, caches, field):
    load_weights("tiny")
    record = caches / "geofeat" / "weights" / "tiny.json"
    good = json.loads(record.read_text())
    record.write_text(json.dumps(good | {field: "../" * 13 + "x"}))
    next(record.parent.glob("*.safetensors")).unlink()
    shutil.rmtree(caches / "hub")
    forget()
    assert same(load_weights("tiny"), network)
    assert json.loads(record.read_text()) == good


def test_another_pattern_of_names_reads_the_original_again(hub, tiny, network):
    load_weights("tiny")
    forget()
    tiny(keys=r"model\.(nnet\.layers\..+)")
    assert load_weights("tiny").tensors.keys() == network.keys() - {"nnet.last_layer.weight"}


def test_a_file_placed_in_the_hubs_cache_is_found_offline(hub, network, caches, no_sockets_after):
    """As ``hf download`` places it; geofeat has never seen the file."""
    load_weights("tiny")
    shutil.rmtree(caches / "geofeat")
    forget()
    no_sockets_after()
    assert same(load_weights("tiny", local_files_only=True), network)


def test_data_sets_lie_below_their_own_address(hub, tiny, caches):
    arrays = {"locs": np.zeros((2, 2)), "image_embeddings": np.ones((2, 3), np.float32)}
    file = io.BytesIO()
    np.savez(file, other=np.zeros(1), **arrays)
    hub.files["datasets/geofeat-tests/tiny/db.npz"] = file.getvalue()
    tiny(repo_type="dataset", file="db.npz", keys="(locs|image_embeddings)")
    assert same(load_weights("tiny"), arrays)
    forget()
    assert same(load_weights("tiny"), arrays)
    assert hub.count == {"HEAD": 2, "GET": 1}
    # A database is read where the hub's cache keeps it.
    assert [path.name for path in (caches / "geofeat" / "weights").iterdir()] == ["tiny.json"]


def test_models_without_a_file_on_the_hub_say_where_it_is(caches, no_sockets):
    with pytest.raises(ValueError, match=r"Dropbox.*weights="):
        load_weights("csp-fmow")
    with pytest.raises(ValueError, match="There is no model"):
        load_weights("csp")


def test_memory_holds_a_bounded_number_of_networks(caches, tiny, network):
    first = load_weights("tiny", weights=network)
    for shift in range(_weights._MAX_LOADED):
        load_weights("tiny", weights={"nnet.a": np.full(3, shift)})
    assert len(_weights._loaded) == _weights._MAX_LOADED
    again = load_weights("tiny", weights=network)
    assert again is not first
    assert same(again, network)


# Verification


def test_the_right_hash_and_size_pass(hub, tiny, network, checkpoint):
    tiny(sha256=hashlib.sha256(checkpoint).hexdigest(), n_bytes=len(checkpoint), revision=COMMIT)
    assert same(load_weights("tiny"), network)
    assert all(COMMIT in path for _, path in hub.requests)


def test_a_file_of_another_hash_is_fetched_twice_and_refused(hub, tiny, caches, checkpoint):
    tiny(sha256="0" * 64)
    with pytest.raises(ChecksumError, match="not the file of tiny") as caught:
        load_weights("tiny")
    assert caught.value.expected == "0" * 64
    assert caught.value.actual == hashlib.sha256(checkpoint).hexdigest()
    assert hub.count["GET"] == 2
    assert list((caches / "geofeat" / "weights").iterdir()) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(hub, tiny, checkpoint):
    tiny(n_bytes=10)
    with pytest.raises(ChecksumError, match=f"has {len(checkpoint)} bytes") as caught:
        load_weights("tiny")
    assert (caught.value.expected, caught.value.actual) == ("10", str(len(checkpoint)))
    assert hub.count == {"HEAD": 1}


def test_wrong_bytes_are_fetched_again(hub, network):
    hub.faults.append(Fault("wrong bytes", "GET"))
    assert same(load_weights("tiny"), network)
    assert hub.count["GET"] == 2


def test_wrong_bytes_twice_are_an_error_and_are_not_kept(hub, network, caches):
    hub.faults.append(Fault("wrong bytes", "GET", times=2))
    with pytest.raises(ChecksumError):
        load_weights("tiny")
    assert hub.count["GET"] == 2
    assert list((caches / "geofeat" / "weights").iterdir()) == []
    assert not list((caches / "hub").rglob("blobs/*"))
    with pytest.raises(OfflineError):
        load_weights("tiny", local_files_only=True)
    assert same(load_weights("tiny"), network)


def test_the_first_download_decides_what_later_ones_must_be(hub, caches, checkpoint):
    load_weights("tiny")
    shutil.rmtree(caches / "hub")
    kept = next((caches / "geofeat" / "weights").glob("*.safetensors"))
    kept.unlink()
    replaced = checkpoint[:-1] + bytes([checkpoint[-1] ^ 1])
    hub.files[TINY_FILE] = replaced
    forget()
    with pytest.raises(ChecksumError, match=r"tiny\.json") as caught:
        load_weights("tiny")
    assert caught.value.expected == hashlib.sha256(checkpoint).hexdigest()
    assert caught.value.actual == hashlib.sha256(replaced).hexdigest()


def test_later_downloads_ask_for_the_commit_of_the_first(hub, caches):
    load_weights("tiny")
    shutil.rmtree(caches / "hub")
    next((caches / "geofeat" / "weights").glob("*.safetensors")).unlink()
    hub.requests.clear()
    forget()
    load_weights("tiny")
    assert all(f"/resolve/{COMMIT}/" in path for _, path in hub.requests)


@pytest.mark.parametrize("forgotten", ["*.safetensors", "*"])
def test_a_file_damaged_in_the_hubs_cache_is_fetched_again(hub, network, caches, forgotten):
    load_weights("tiny")
    for file in (caches / "geofeat" / "weights").glob(forgotten):
        file.unlink()
    blob = next((caches / "hub").rglob("blobs/*"))
    blob.write_bytes(b"x" * blob.stat().st_size)
    forget()
    with pytest.raises(ChecksumError):
        load_weights("tiny", local_files_only=True)
    assert same(load_weights("tiny"), network)


# Faults of the network


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_passing_faults_are_waited_for(hub, network, waits, method, code):
    hub.faults.append(status(code, method, times=2))
    assert same(load_weights("tiny"), network)
    assert len(waits) >= 2
    assert sum(waits) < 60


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_lasting_refusals_fail_at_once(hub, waits, method, code):
    hub.faults.append(status(code, method, times=None))
    with pytest.raises(DownloadError, match=rf"tiny\.safetensors.*{code}.*weights=") as caught:
        load_weights("tiny")
    assert caught.value.status == code
    assert caught.value.attempts == 1
    assert caught.value.url.endswith("/geofeat-tests/tiny/resolve/main/folder/tiny.safetensors")
    assert caught.value.__cause__ is not None
    if code in {404, 410}:
        assert "no such file" in str(caught.value)
    assert waits == []


def test_a_server_that_stays_broken_is_given_up(hub, waits):
    hub.faults.append(status(503, times=None))
    with pytest.raises(DownloadError, match="503") as caught:
        load_weights("tiny")
    assert (caught.value.status, caught.value.attempts) == (503, 5)
    assert hub.count.total() == 5
    # Half a second, doubled each time, give or take half.
    for wait, step in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert 0.5 * step <= wait <= 1.5 * step


def test_attempts_of_the_library_are_not_repeated(hub, waits):
    """It asks once, and then six times with growing waits, when its own question goes wrong."""
    hub.faults += [Fault("none", "HEAD"), status(503, "HEAD", times=None)]
    with pytest.raises(DownloadError, match=r"cannot be reached \(status 503\)") as caught:
        load_weights("tiny")
    assert (caught.value.status, caught.value.attempts) == (503, 1)
    assert hub.count == {"HEAD": 1 + 1 + 6}
    assert sum(waits) < 30


@pytest.mark.parametrize("as_date", [False, True])
def test_a_server_may_ask_for_a_moment(hub, network, waits, as_date):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=41), usegmt=True)
    hub.faults.append(status(429, "HEAD", Retry_After=later if as_date else "40"))
    assert same(load_weights("tiny"), network)
    assert 38 <= waits[0] <= 41


def test_a_server_may_not_ask_for_an_hour(hub, waits):
    hub.faults.append(status(429, "HEAD", times=None, Retry_After="3600"))
    with pytest.raises(DownloadError, match="3600 seconds") as caught:
        load_weights("tiny")
    assert (caught.value.status, caught.value.attempts) == (429, 1)
    assert waits == []


@pytest.mark.parametrize("kind", ["cut", "short body", "long body"])
def test_a_broken_transfer_is_repeated(hub, network, waits, kind, caches):
    hub.faults.append(Fault(kind, "GET"))
    assert same(load_weights("tiny"), network)
    assert not leftovers(caches)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_login_page_is_no_model(hub, waits, method, caches):
    hub.faults.append(Fault("login page", method, times=None))
    with pytest.raises((DownloadError, ChecksumError)) as caught:
        load_weights("tiny")
    if method == "HEAD":
        assert "login page" in str(caught.value)
    assert not list((caches / "geofeat" / "weights").iterdir())


def test_an_unknown_commit_is_named(hub, tiny):
    tiny(revision="d" * 40)
    with pytest.raises(DownloadError, match="no such revision") as caught:
        load_weights("tiny")
    assert caught.value.status == 404


def test_an_unreachable_hub_is_one_plain_sentence(hub, monkeypatch, waits):
    monkeypatch.setenv("HF_ENDPOINT", "http://user:secret@127.0.0.1:9")
    with pytest.raises(DownloadError) as caught:
        load_weights("tiny")
    said = str(caught.value)
    for word in ("tiny.safetensors", "http://127.0.0.1:9/geofeat", "weights=", "hf download"):
        assert word in said
    assert "secret" not in said + caught.value.url
    assert (caught.value.status, caught.value.attempts) == (None, 5)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, GeofeatError)


def test_a_model_of_absurd_size_is_refused(hub, monkeypatch):
    monkeypatch.setattr(_hub, "_MAX_BYTES", 100)
    with pytest.raises(LimitError, match="the bound"):
        load_weights("tiny")
    assert hub.count == {"HEAD": 1}


# Offline


@pytest.mark.parametrize("way", ["parameter", "GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_opens_no_socket(caches, tiny, no_sockets, monkeypatch, way):
    if way != "parameter":
        monkeypatch.setenv(way, "1")
    with pytest.raises(OfflineError) as caught:
        load_weights("tiny", local_files_only=True if way == "parameter" else None)
    for word in ("tiny.safetensors", str(caches / "hub"), "weights=", "hf download"):
        assert word in str(caught.value)


def test_a_library_told_to_stay_offline_is_obeyed(hub, monkeypatch):
    """HF_HUB_OFFLINE is read when the library is imported; it may be gone from the environment."""
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    with pytest.raises(OfflineError):
        load_weights("tiny")
    assert hub.count.total() == 0


def test_offline_finds_what_is_kept(hub, network, no_sockets_after, monkeypatch):
    load_weights("tiny")
    forget()
    no_sockets_after()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert same(load_weights("tiny"), network)


# Disks


def test_a_full_disk_is_told_before_the_download(hub, monkeypatch, checkpoint):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(OSError, match=rf"needs {len(checkpoint)} bytes, 10 are free") as caught:
        load_weights("tiny")
    assert caught.value.errno == errno.ENOSPC
    assert hub.count == {"HEAD": 1}


def test_a_disk_that_fills_during_the_download(hub, network, monkeypatch, caches):
    from huggingface_hub import file_download

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", full)
        with pytest.raises(OSError, match="no space left for folder") as caught:
            load_weights("tiny")
    assert caught.value.errno == errno.ENOSPC
    assert not leftovers(caches)
    assert same(load_weights("tiny"), network)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_disk_that_fills_while_the_network_is_kept(hub, network, monkeypatch, caches, nth):
    true_sync, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) == 2 * nth - 1:  # each file is followed by its folder
            raise OSError(errno.ENOSPC, "No space left on device")
        true_sync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"\d+ bytes needed.*GEOFEAT_CACHE") as caught:
            load_weights("tiny")
    assert caught.value.errno == errno.ENOSPC
    assert not leftovers(caches)
    assert same(load_weights("tiny"), network)


def deny(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_that_cannot_be_written_is_told_before_the_download(hub, monkeypatch, caches):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", deny)
        with pytest.raises(PermissionError, match="GEOFEAT_CACHE") as caught:
            load_weights("tiny")
    assert str(caches / "geofeat") in str(caught.value)
    assert hub.count.total() == 0


def test_a_file_in_the_place_of_the_folder(hub, monkeypatch, caches):
    (caches / "geofeat").write_text("in the way")
    with pytest.raises(OSError, match="GEOFEAT_CACHE"):
        load_weights("tiny")
    assert hub.count.total() == 0


def test_a_hub_cache_that_cannot_be_written(hub, monkeypatch, caches):
    with monkeypatch.context() as patch:
        patch.setattr(os, "makedirs", deny)
        with pytest.raises(PermissionError, match="HF_HUB_CACHE") as caught:
            load_weights("tiny")
    assert str(caches / "hub") in str(caught.value)
    assert hub.count["GET"] == 0


def test_cached_files_load_though_nothing_can_be_written(hub, network, monkeypatch, caches):
    load_weights("tiny")
    forget()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _read_only(Path.open))
        assert same(load_weights("tiny"), network)
        shutil.rmtree(caches / "geofeat")
        forget()
        assert same(load_weights("tiny"), network)
    assert hub.count["GET"] == 1


def _read_only(true_open):
    def open_(self, mode="r", *args, **kwargs):
        return true_open(self, mode, *args, **kwargs) if mode.startswith("r") else deny()

    return open_


def test_files_left_by_killed_processes_are_removed_after_a_day(hub, caches):
    folder = caches / "geofeat" / "weights"
    folder.mkdir(parents=True)
    old, new = folder / ".old.tmp", folder / ".new.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, time.time() - 25 * 3600))
    load_weights("tiny")
    assert not old.exists()
    assert new.exists()


# Threads and processes


def test_threads_at_once_load_once(hub, network):
    start = threading.Barrier(4)

    def load(_):
        start.wait()
        return load_weights("tiny")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(load, range(4)))
    assert all(weights is results[0] for weights in results)
    assert same(results[0], network)
    assert hub.count == {"HEAD": 2, "GET": 1}


PROCESS = """
import sys
from geofeat.embedders import _registry, _weights
from tests.embedders.conftest import TINY
_registry._BY_NAME["tiny"] = TINY
weights = _weights.load_weights("tiny")
print(sum(float(values.sum()) for values in weights.tensors.values()))
"""


def test_processes_at_once_are_both_right(hub, network, caches):
    hub.faults.append(Fault("wrong bytes", "GET"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    outcomes = [process.communicate(timeout=120) for process in processes]
    total = sum(float(values.sum()) for values in network.values())
    for out, err in outcomes:
        assert float(out) == pytest.approx(total, rel=1e-12), err
        assert "%" not in err, "a progress bar where there is no terminal"
    assert not leftovers(caches)
    assert same(load_weights("tiny"), network)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent(caches, tiny, network):
    with _weights._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if len(load_weights("tiny", weights=network).tensors) == 3 else 2
            finally:
                os._exit(code)
        for _ in range(200):
            done, result = os.waitpid(child, os.WNOHANG)
            if done:
                break
            time.sleep(0.05)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(result) == 0


# Files and mappings


def test_a_file_is_read_once_until_it_changes(caches, tiny, network, checkpoint, no_sockets):
    path = caches / "mine.safetensors"
    path.write_bytes(checkpoint)
    weights = load_weights("tiny", weights=path)
    assert same(weights, network)
    assert weights.source == str(path)
    assert load_weights("tiny", weights=str(path)) is weights
    os.utime(path, ns=(0, 0))
    again = load_weights("tiny", weights=path)
    assert again is not weights
    assert same(again, network)
    assert not (caches / "geofeat").exists()


def test_a_file_that_is_not_there_keeps_its_error(caches, tiny):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt"):
        load_weights("tiny", weights="nowhere.ckpt")


def test_a_file_of_another_network_is_named(caches, checkpoint):
    path = caches / "satclip.safetensors"
    path.write_bytes(checkpoint)
    with pytest.raises(CorruptFileError, match=r"no network of GeoCLIPEmbedder.*model\.location"):
        load_weights("geoclip", weights=path)


def test_the_layout_of_satclip_checkpoints_is_read(test_data, caches):
    """A file in the layout of the published ones, holding random numbers."""
    path = test_data / "satclip-random-l10.ckpt"
    weights = load_weights("satclip-resnet18-l10", weights=path)
    shapes = {key: values.shape for key, values in weights.tensors.items()}
    assert shapes == {
        "nnet.layers.0.weight": (256, 100),
        "nnet.layers.0.bias": (256,),
        "nnet.layers.1.weight": (256, 256),
        "nnet.layers.1.bias": (256,),
        "nnet.last_layer.weight": (256, 256),
        "nnet.last_layer.bias": (256,),
    }
    assert weights.settings["legendre_polys"] == 10
    assert weights.settings["harmonics_calculation"] == "analytic"


def test_settings_are_kept_with_the_network(hub, network, tiny, caches):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    state = {f"model.{key}": torch.from_numpy(values) for key, values in network.items()}
    torch.save({"state_dict": state, "hyper_parameters": {"legendre_polys": 2, "a": 0.5}}, file)
    hub.files["geofeat-tests/tiny/tiny.ckpt"] = file.getvalue()
    tiny(file="tiny.ckpt")
    first = load_weights("tiny")
    assert same(first, network)
    forget()
    again = load_weights("tiny")
    assert same(again, network)
    assert first.settings == again.settings
    assert again.settings["legendre_polys"] == 2


def test_twins_that_differ_are_refused(tiny, caches, network):
    other = {f"model.{key}": values + 1 for key, values in network.items()}
    with pytest.raises(CorruptFileError, match="two different arrays"):
        load_weights("tiny", weights=network | other)


def test_a_mapping_is_copied_and_known_by_its_contents(caches, tiny, network, no_sockets):
    mine = copy.deepcopy(network)
    weights = load_weights("tiny", weights=mine)
    assert same(weights, network)
    assert load_weights("tiny", weights=copy.deepcopy(network)) is weights
    mine["nnet.layers.0.bias"][0] += 1
    changed = load_weights("tiny", weights=mine)
    assert changed is not weights
    assert same(weights, network)
    assert same(changed, mine)
    assert all(values.flags.writeable for values in mine.values())


def test_a_mapping_may_hold_tensors_and_lists(caches, tiny, network):
    torch = pytest.importorskip("torch")
    tensors = {key: torch.from_numpy(values) for key, values in network.items()}
    assert same(load_weights("tiny", weights=tensors), network)
    assert load_weights("tiny", weights={"nnet.a": [1.0, 2.0]}).tensors["nnet.a"].tolist() == [1, 2]


@pytest.mark.parametrize("values", [["a"], [None], [True], [1j], np.zeros(1, "M8[s]")])
def test_a_mapping_of_anything_else_is_refused(caches, tiny, values):
    with pytest.raises(TypeError, match=r"weights\['nnet.a'\] has dtype"):
        load_weights("tiny", weights={"nnet.a": values})


def test_fortran_big_endian_and_scalar_arrays_are_known_by_contents(caches, tiny):
    plain = {"nnet.a": np.arange(6.0).reshape(2, 3), "nnet.b": np.float64(2)}
    weights = load_weights("tiny", weights=plain)
    fortran = {"nnet.a": np.asfortranarray(plain["nnet.a"]), "nnet.b": plain["nnet.b"]}
    assert load_weights("tiny", weights=fortran) is weights
    swapped = load_weights("tiny", weights={"nnet.a": plain["nnet.a"].astype(">f8")})
    assert_array_equal(swapped.tensors["nnet.a"], plain["nnet.a"])


# Errors and imports


@pytest.mark.parametrize(
    "error",
    [
        ChecksumError("file", "differs", expected="1", actual="2", url="https://host/x"),
        DownloadError("no", url="https://host/x", status=404, attempts=3),
        OfflineError("no", url="https://host/x"),
    ],
)
def test_errors_come_through_processes_whole(error):
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_importing_brings_no_library_of_downloads():
    code = (
        "import sys, geofeat.embedders._weights\n"
        "print([m for m in ('huggingface_hub', 'safetensors', 'httpx', 'httpx2', 'requests')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
