"""`extract` on a real cluster of two processes on this machine."""

import os
import shutil
import signal
import threading
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from geofeat import AlphaEarthSource, CartesianEncoder, EmbeddingRasterSampler, extract
from geofeat.exceptions import CorruptFileError
from geofeat.rasters import _extract_chunks, _extract_cluster, _extract_plan, _extract_store
from tests.rasters.writers import from_lonlat, random_bytes, random_points_in, write_alphaearth

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Six rasters that do not touch, and 60 points in each, shuffled."""
    root, points = tmp_path_factory.mktemp("annual"), []
    x, y = (float(10 * np.floor(value / 10)) for value in from_lonlat(9.5, 50.0, 32632))
    for i in range(6):
        west, south = x + 5000 * i, y
        stored = random_bytes(i, (64, 32, 32))
        path = root / "2022" / "32N" / f"x{i}-0000000000-0000000000.tiff"
        write_alphaearth(path, stored, epsg=32632, west=west, south=south)
        points.append(random_points_in(west, south, 32, 32, 32632, 60, i)[0])
    order = np.random.default_rng(0).permutation(360)
    return root, np.concatenate(points)[order]


@pytest.fixture
def task(collection):
    return EmbeddingRasterSampler(AlphaEarthSource(collection[0]), year=2022, on_missing="nan")


@pytest.fixture(scope="module")
def cluster():
    """Client of two workers, each a process of one thread; the last test kills one."""
    with (
        # Its profiler would look into this process's threads a hundred times a second.
        dask.config.set({"distributed.worker.profile.enabled": False}),
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as processes,
        distributed.Client(processes, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Two groups a file."""
    monkeypatch.setattr(_extract_plan, "_GROUP_ITEMS", 35)
    monkeypatch.setattr(_extract_store, "_BUCKET_BYTES", 2**14)


def record_opened_files():
    """Make a worker note every raster that it opens, and take a while for it."""
    import os
    import time

    from geofeat.rasters import _raster_reader

    opened = []
    open_raster = _raster_reader.open_raster

    def noting(path):
        opened.append(path)
        time.sleep(0.05)
        return open_raster(path)

    _raster_reader.open_raster = noting
    _raster_reader.opened_by_test = opened
    return os.getpid()


def opened_files():
    from geofeat.rasters import _raster_reader

    return list(getattr(_raster_reader, "opened_by_test", []))


def features(out, task):
    names = task.get_feature_names_out().tolist()
    return pq.read_table(out, columns=names).to_pandas().to_numpy()


def test_a_cluster_gives_the_local_result_and_each_file_is_opened_by_one_worker(
    collection, task, tmp_path, cluster, monkeypatch
):
    root, points = collection
    cluster.run(record_opened_files)
    report = extract(points, task, tmp_path / "a.parquet", client=cluster, progress=False)
    local = extract(points, task, tmp_path / "b.parquet", progress=False)
    assert report.groups == local.groups == 12
    assert report.counts == local.counts
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))
    assert_array_equal(features(tmp_path / "a.parquet", task), task.transform(points))
    opened = list(cluster.run(opened_files).values())
    assert len(opened) == 2
    assert all(opened)
    assert not set(opened[0]) & set(opened[1])
    assert set(opened[0]) | set(opened[1]) == {str(path) for path in root.rglob("*.tiff")}
    monkeypatch.setattr(_extract_chunks, "_CHUNK_ROWS", 50)
    frame = pd.DataFrame(points, columns=["lon", "lat"])
    encoder = CartesianEncoder()
    with cluster.as_current():
        extract(frame, encoder, tmp_path / "c.parquet", client="dask", progress=False)
    truth = encoder.transform(points).astype(np.float32)
    assert_array_equal(features(tmp_path / "c.parquet", encoder), truth)


def test_an_error_in_a_worker_is_raised_and_work_continues_locally(collection, tmp_path, cluster):
    root, points = collection
    shutil.copytree(root, tmp_path / "annual")
    broken = sorted((tmp_path / "annual").rglob("*.tiff"))[-1]
    content = broken.read_bytes()
    middle = slice(len(content) // 10, len(content) // 2)  # blocks, not the directory behind them
    damaged = bytearray(content)
    damaged[middle] = b"\xff" * len(damaged[middle])
    broken.write_bytes(damaged)
    os.utime(broken, (1, 1))
    task = EmbeddingRasterSampler(
        AlphaEarthSource(tmp_path / "annual"), year=2022, on_missing="nan"
    )
    out = tmp_path / "out.parquet"
    with pytest.raises(CorruptFileError, match=f"{broken.name}: cannot read rows"):
        extract(points, task, out, client=cluster, progress=False)
    broken.write_bytes(content)
    os.utime(broken, (1, 1))
    again = EmbeddingRasterSampler(
        AlphaEarthSource(tmp_path / "annual"), year=2022, on_missing="nan"
    )
    report = extract(points, again, out, progress=False)
    assert 0 < report.resumed_groups < 12
    assert_array_equal(features(out, again), again.transform(points))


def test_a_killed_worker_has_its_files_taken_over(collection, task, tmp_path, cluster, monkeypatch):
    points = collection[1]
    pids = list(cluster.run(record_opened_files).values())
    killed = []

    def load(plan, number, original=_extract_plan.TilePlan.load):
        if number == 7 and not killed:
            killed.append(pids[0])
            threading.Timer(0.02, os.kill, (pids[0], signal.SIGKILL)).start()
            time.sleep(0.1)
        return original(plan, number)

    monkeypatch.setattr(_extract_plan.TilePlan, "load", load)
    results = []
    stage = _extract_store.WorkFolder.stage

    def noting(folder, result, *rest):
        results.append((result.number, result.process))
        stage(folder, result, *rest)

    monkeypatch.setattr(_extract_store.WorkFolder, "stage", noting)
    extract(points, task, tmp_path / "out.parquet", client=cluster, progress=False)
    assert killed
    assert sorted(number for number, _ in results) == list(range(12))
    assert {process for _, process in results} - {pids[0]}
    assert_array_equal(features(tmp_path / "out.parquet", task), task.transform(points))


def test_what_is_no_client_is_refused(collection, task, tmp_path):
    for client in ("spark", 2):
        with pytest.raises(TypeError, match="synchronous distributed"):
            extract(collection[1], task, tmp_path / "out.parquet", client=client)
    with pytest.raises(ValueError, match="No global client"):
        extract(collection[1], task, tmp_path / "out.parquet", client="dask")


class _EmptyCluster:
    """A cluster that never has a worker."""

    def __init__(self):
        self.looks = 0

    def nthreads(self):
        self.looks += 1
        return {}

    def cancel(self, futures, force):
        pass


def test_a_cluster_without_workers_is_waited_for_and_then_given_up(monkeypatch):
    monkeypatch.setattr(_extract_cluster, "_SECONDS_WITHOUT_WORKERS", 0.2)
    monkeypatch.setattr(_extract_cluster, "_SECONDS_BETWEEN_LOOKS", 0.01)
    cluster = _EmptyCluster()
    with pytest.raises(RuntimeError, match="has had no worker"):
        _extract_cluster.compute_on_cluster(cluster, None, [[0]], lambda number: number, print)
    assert cluster.looks > 3
