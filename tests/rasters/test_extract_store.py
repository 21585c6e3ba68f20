"""Extractions that were killed, interrupted, damaged or changed in between."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from geofeat import AlphaEarthSource, CartesianEncoder, EmbeddingRasterSampler, extract
from geofeat.exceptions import CorruptFileError, CoverageWarning, SourceError
from geofeat.rasters import (
    _extract,
    _extract_chunks,
    _extract_plan,
    _extract_runs,
    _extract_store,
)
from geofeat.rasters._extract_rows import compute

SMALL = {
    (_extract_plan, "_SLICE_ROWS"): 70,
    (_extract_plan, "_GROUP_ITEMS"): 40,
    (_extract_runs, "_RUN_ITEMS"): 150,
    (_extract_store, "_BUCKET_BYTES"): 2**14,
    (_extract_store, "_STAGED_BYTES"): 1,
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Many groups and a checkpoint after each."""
    for (module, name), value in SMALL.items():
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def points(seam_points, tmp_path):
    """File of 400 points and their places."""
    frame = pd.DataFrame(seam_points, columns=["lon", "lat"]).assign(number=np.arange(400))
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=130)
    return tmp_path / "in.parquet"


@pytest.fixture
def task(seam):
    return EmbeddingRasterSampler(AlphaEarthSource(seam.root), year=2022, on_missing="nan")


def features(out, task):
    names = task.get_feature_names_out().tolist()
    return pq.read_table(out, columns=names).to_pandas().to_numpy()


class Stop(Exception):
    """What a test stops an extraction with."""


@pytest.fixture
def stop_after(monkeypatch):
    """Set after how many groups the next extraction is stopped; tells how many were computed."""
    done = []

    def set_limit(limit, error=Stop):
        done.clear()

        def counting(job, group):
            if len(done) >= limit:
                raise error
            done.append(group.number)
            return compute(job, group)

        monkeypatch.setattr(_extract, "compute", counting)
        return done

    return set_limit


def stopped(points, task, out, stop_after, after=4):
    """Start an extraction that stops after some groups; returns its work folder."""
    stop_after(after)
    with pytest.raises(Stop):
        extract(points, task, out, progress=False)
    assert not out.exists()
    return out.with_name(out.name + ".partial")


_KILLS = """
import os, random, signal, sys, time
from geofeat import AlphaEarthSource, EmbeddingRasterSampler, extract
from geofeat.rasters import _extract_plan, _extract_runs, _extract_store
import geopandas, rasterio, pyarrow.parquet, pyproj, shapely
_extract_plan._SLICE_ROWS, _extract_plan._GROUP_ITEMS, _extract_runs._RUN_ITEMS = 70, 40, 150
_extract_store._BUCKET_BYTES, _extract_store._STAGED_BYTES = 2**14, 1
root, points, out = sys.argv[1:]
task = EmbeddingRasterSampler(AlphaEarthSource(root), year=2022, on_missing="nan")
rng = random.Random(4)
fsync, real_replace = os.fsync, os.replace

def child(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print("failed:", repr(error), flush=True)
    os._exit(1)

def dying(moment):
    # Ends the process at the n-th moment at which something was to reach the disk.
    left = [moment]
    def count(call):
        def counted(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return counted
    os.fsync = count(fsync)
    os.truncate = count(os.truncate)
    _extract_store.shutil.rmtree = count(_extract_store.shutil.rmtree)

def run():
    extract(points, task, out, progress=False)

def ending(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

began = time.monotonic()
assert ending(child(lambda: extract(points, task, out + ".first", progress=False))) == 0
whole = time.monotonic() - began
killed = 0
for attempt in range(60):
    if attempt % 2:
        pid = child(lambda: (dying(rng.randint(1, 25)), run()))
    else:
        pid = child(run)
        time.sleep(rng.uniform(0.1, 0.6) * whole)
        os.kill(pid, signal.SIGKILL)
    code = ending(pid)
    assert code in (0, -signal.SIGKILL), code
    killed += code != 0
    if os.path.exists(out) and killed >= 10:
        break
    if os.path.exists(out):  # too early: once more from the start
        os.remove(out)
code = ending(child(run))
print(code, killed)
"""


def test_killed_at_any_moment_nothing_is_lost_or_there_twice(seam, points, task, tmp_path):
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-c", _KILLS, str(seam.root), str(points), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    code, killed = done.stdout.split()[-2:]
    assert code == "0", done.stdout
    assert int(killed) >= 10
    table = pq.read_table(out)
    assert table.num_rows == 400
    assert_array_equal(table["number"], np.arange(400))
    assert_array_equal(features(out, task), task.transform(pd.read_parquet(points)))
    assert not (tmp_path / "out.parquet.partial").exists()
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_finished_groups_are_not_computed_again(points, task, tmp_path, stop_after):
    out = tmp_path / "out.parquet"
    first = stop_after(5)
    with pytest.raises(Stop):
        extract(points, task, out, progress=False)
    first = list(first)
    folder = tmp_path / "out.parquet.partial"
    assert len((folder / "journal").read_bytes().splitlines()) == 5
    done = stop_after(1000)
    report = extract(points, task, out, progress=False)
    assert report.resumed_groups == 5
    assert len(done) == report.groups - 5
    assert not set(first) & set(done)
    assert_array_equal(features(out, task), task.transform(pd.read_parquet(points)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_keeps_what_was_computed(
    points, task, tmp_path, stop_after, monkeypatch, error
):
    monkeypatch.setattr(_extract_store, "_STAGED_BYTES", 2**30)  # no checkpoint on the way
    stop_after(6, error)
    with pytest.raises(error):
        extract(points, task, tmp_path / "out.parquet", progress=False)
    stop_after(1000)
    report = extract(points, task, tmp_path / "out.parquet", progress=False)
    assert report.resumed_groups == 6
    truth = task.transform(pd.read_parquet(points))
    assert_array_equal(features(tmp_path / "out.parquet", task), truth)


def test_a_torn_end_of_the_journal_or_of_the_records_is_cut_off(points, task, tmp_path, stop_after):
    out = tmp_path / "out.parquet"
    truth = task.transform(pd.read_parquet(points))
    folder = stopped(points, task, out, stop_after)
    journal = (folder / "journal").read_bytes()
    last = journal.splitlines(keepends=True)[-1]
    start = len(journal) - len(last)
    for kept in (start + 1, start + 9, start + len(last) // 2, len(journal) - 1):
        (folder / "journal").write_bytes(journal[:kept])
        for path in folder.glob("bucket-*"):
            with path.open("ab") as file:
                file.write(b"\x07" * 261 * 2 + b"\x01")
        (folder / "bucket-000999").write_bytes(b"\x00" * 100)
        stop_after(0)
        with pytest.raises(Stop):
            extract(points, task, out, progress=False)
        assert (folder / "journal").read_bytes() == journal[:start]
    (folder / "journal").write_bytes(journal[:start] + b"\x00" * len(last))
    stop_after(1000)
    report = extract(points, task, out, progress=False)
    assert report.resumed_groups == 3
    assert_array_equal(features(out, task), truth)


def test_damage_that_is_no_torn_end_is_refused(points, task, tmp_path, stop_after):
    out = tmp_path / "out.parquet"
    folder = stopped(points, task, out, stop_after)
    journal = bytearray((folder / "journal").read_bytes())
    damaged = journal.copy()
    damaged[20] ^= 1
    (folder / "journal").write_bytes(damaged)
    with pytest.raises(CorruptFileError, match=r"journal: is damaged before its end; resume=False"):
        extract(points, task, out, progress=False)
    (folder / "journal").write_bytes(journal)
    bucket = sorted(folder.glob("bucket-*"))[0]
    bucket.write_bytes(bucket.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match=r"bucket-.* is shorter than the"):
        extract(points, task, out, progress=False)
    stop_after(1000)
    report = extract(points, task, out, resume=False, progress=False)
    assert report.resumed_groups == 0
    assert_array_equal(features(out, task), task.transform(pd.read_parquet(points)))


@pytest.mark.parametrize("name", ["job.json", "plan/plan.json", "plan/spans"])
@pytest.mark.parametrize("content", [b"", b"[1]", bytes(40), b"\xff\xfe"])
def test_a_damaged_description_or_plan_is_named(points, task, tmp_path, stop_after, name, content):
    out = tmp_path / "out.parquet"
    path = stopped(points, task, out, stop_after) / name
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=rf"{path.name}: is damaged; resume=False"):
        extract(points, task, out, progress=False)


def test_a_record_that_is_missing_is_never_made_up(points, task, tmp_path, monkeypatch):
    write_output = _extract.write_output

    def without_a_record(out, *rest):
        bucket = next((tmp_path / "out.parquet.partial").glob("bucket-*"))
        content = bucket.read_bytes()
        bucket.write_bytes(content[: 261 * 3] + content[: len(content) - 261 * 3])
        write_output(out, *rest)

    monkeypatch.setattr(_extract, "write_output", without_a_record)
    with pytest.raises(CorruptFileError, match=r"holds \d+ of \d+ records"):
        extract(points, task, tmp_path / "out.parquet", progress=False)
    assert not (tmp_path / "out.parquet").exists()
    assert list(tmp_path.glob(".out*")) == []


def test_another_job_in_the_same_place_is_refused(seam, points, task, tmp_path, stop_after):
    out = tmp_path / "out.parquet"
    stopped(points, task, out, stop_after)
    source = task.source
    others = {
        "year": EmbeddingRasterSampler(source, year=2023, on_missing="nan"),
        "bands": EmbeddingRasterSampler(source, year=2022, bands=["A00"], on_missing="nan"),
        "fill": EmbeddingRasterSampler(source, year=2022, on_missing=0.0),
        "source": EmbeddingRasterSampler(
            AlphaEarthSource(seam.files[0].path), year=2022, on_missing="nan"
        ),
        "encoder": CartesianEncoder(),
    }
    for other in others.values():
        with pytest.raises(
            SourceError, match=r"out.parquet.partial: holds the work of another job"
        ):
            extract(points, other, out, progress=False)
    with pytest.raises(SourceError, match="its dtype is float32, now it is float16"):
        extract(points, task, out, dtype="float16", progress=False)
    frame = pd.read_parquet(points)
    frame.to_parquet(points, row_group_size=131)
    with pytest.raises(SourceError, match="its input is"):
        extract(points, task, out, progress=False)
    stop_after(1000)
    only = others["bands"]
    report = extract(points, only, out, resume=False, progress=False)
    assert report.resumed_groups == 0
    assert_array_equal(features(out, only), only.transform(frame))


def test_points_in_memory_are_told_apart_by_their_content(task, seam_points, tmp_path, stop_after):
    frame = pd.DataFrame(seam_points, columns=["lon", "lat"])
    out = tmp_path / "out.parquet"
    stopped(frame, task, out, stop_after)
    changed = frame.copy()
    changed.loc[399, "lat"] += 1e-4
    with pytest.raises(SourceError, match="its input is"):
        extract(changed, task, out, progress=False)
    stop_after(1000)
    # What is said and shown, and further columns, change no feature.
    told = EmbeddingRasterSampler(task.source, year=2022, on_missing="nan", progress=False)
    report = extract(frame, told, out, columns=[], progress=False)
    assert report.resumed_groups == 4


def test_a_raster_that_changes_between_two_runs_is_an_error(seam, points, tmp_path, stop_after):
    shutil.copytree(seam.root, tmp_path / "annual")
    out = tmp_path / "out.parquet"
    first = EmbeddingRasterSampler(
        AlphaEarthSource(tmp_path / "annual"), year=2022, on_missing="nan"
    )
    stopped(points, first, out, stop_after)
    touched = next((tmp_path / "annual" / "2022").rglob("*.tiff"))
    os.utime(touched, (1, 1))
    again = EmbeddingRasterSampler(
        AlphaEarthSource(tmp_path / "annual"), year=2022, on_missing="nan"
    )
    with pytest.raises(SourceError, match=rf"{touched.name}: has changed since the extraction"):
        extract(points, again, out, progress=False)


def test_counts_after_a_resume_are_those_of_all_rows(seam, points, tmp_path, stop_after):
    def task(word):
        return EmbeddingRasterSampler(AlphaEarthSource(seam.root), year=2023, on_missing=word)

    with pytest.warns(CoverageWarning) as at_once:
        whole = extract(points, task("warn"), tmp_path / "a.parquet", progress=False)
    out = tmp_path / "b.parquet"
    stopped(points, task("warn"), out, stop_after)
    stop_after(1000)
    with pytest.warns(CoverageWarning) as resumed:
        report = extract(points, task("warn"), out, progress=False)
    assert report.resumed_groups == 4
    assert report.counts == whole.counts
    assert len(resumed) == 1
    assert str(resumed[0].message) == str(at_once[0].message)


def test_a_finished_job_is_left_alone(points, task, tmp_path, stop_after):
    out = tmp_path / "out.parquet"
    first = extract(points, task, out, progress=False)
    stamp = out.stat().st_mtime_ns
    (tmp_path / "out.parquet.partial").mkdir()  # killed before the folder was removed
    done = stop_after(0)
    report = extract(points, task, out, progress=False)
    assert done == []
    assert out.stat().st_mtime_ns == stamp
    assert report.resumed_groups == report.groups == first.groups
    assert report.counts == first.counts
    assert not (tmp_path / "out.parquet.partial").exists()
    other = EmbeddingRasterSampler(task.source, year=2023, on_missing="nan")
    for arguments in ({"sampler": other}, {"layout": "list"}, {"columns": []}):
        with pytest.raises(FileExistsError, match="not the result of this job; resume=False"):
            extract(**{"points": points, "sampler": task, "out": out, **arguments})
    stop_after(1000)
    extract(points, other, out, resume=False, progress=False)
    assert_array_equal(features(out, other), other.transform(pd.read_parquet(points)))
    (tmp_path / "text.parquet").write_text("mine")
    with pytest.raises(FileExistsError):
        extract(points, task, tmp_path / "text.parquet")
    assert (tmp_path / "text.parquet").read_text() == "mine"


def test_a_full_disk_keeps_what_is_finished(points, task, tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"
    sync_file, calls = _extract_store.sync_file, []

    def full(file):
        calls.append(file)
        if len(calls) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync_file(file)

    monkeypatch.setattr(_extract_store, "sync_file", full)
    with pytest.raises(
        OSError, match=r"disk is full: up to \d+ more bytes needed, \d+ free.*kept"
    ) as caught:
        extract(points, task, out, progress=False)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(_extract_store, "sync_file", sync_file)
    report = extract(points, task, out, progress=False)
    assert report.resumed_groups > 0
    assert_array_equal(features(out, task), task.transform(pd.read_parquet(points)))


def test_two_processes_do_not_share_a_work_folder(points, task, tmp_path, stop_after):
    fcntl = pytest.importorskip("fcntl")
    folder = stopped(points, task, tmp_path / "out.parquet", stop_after)
    stop_after(1000)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="in use by another process"):
            extract(points, task, tmp_path / "out.parquet", progress=False)
    assert extract(points, task, tmp_path / "out.parquet", progress=False).resumed_groups == 4


def test_encoders_resume_too(points, tmp_path, monkeypatch, stop_after):
    monkeypatch.setattr(_extract_chunks, "_CHUNK_ROWS", 64)
    encoder, out = CartesianEncoder(), tmp_path / "out.parquet"
    stopped(points, encoder, out, stop_after, after=3)
    done = stop_after(1000)
    assert extract(points, encoder, out, progress=False).resumed_groups == 3
    assert done == [3, 4, 5, 6]
    truth = encoder.transform(pd.read_parquet(points)).astype(np.float32)
    assert_array_equal(features(out, encoder), truth)
    notes = json.loads(pq.read_schema(out).metadata[b"geofeat"])
    assert notes["summary"]["counts"] == {"ok": 400, "bad_input": 0}
