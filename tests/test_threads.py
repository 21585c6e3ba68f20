"""Slabs, threads and processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat import SphericalHarmonicsEncoder
from geofeat._progress import progress_bar
from geofeat._threads import run_slabs, run_tasks, usable_threads

ROWS = np.random.default_rng(0).uniform(-90, 90, (20_000, 2))


def encode(rows=ROWS):
    return SphericalHarmonicsEncoder(degree=5).transform(rows)


def test_slabs_cover_every_row_once():
    seen = np.zeros(1003, dtype=int)

    def count(start, stop):
        seen[start:stop] += 1

    run_slabs(count, 1003, 100)
    assert (seen == 1).all()


def test_the_first_error_is_raised_and_no_thread_survives():
    before = threading.active_count()

    def fail(task):
        if task == 3:
            raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        run_tasks(fail, range(1000))
    assert threading.active_count() == before


def test_numbas_thread_count_is_followed():
    try:
        numba.set_num_threads(1)
        assert usable_threads() == 1
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


def test_a_pools_worker_thread_uses_itself_only():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(usable_threads).result() == 1
    counts = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(usable_threads)() for _ in range(4)
    )
    assert counts == [1] * 4


def test_workers_of_a_pool_draw_no_bars_unless_asked(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    def shown(progress):
        with progress_bar(3, "reading", "block", progress) as bar:
            return not bar.disable

    assert shown(None)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(shown, None).result()
        assert pool.submit(shown, True).result()


def test_one_and_two_threads_agree_bit_for_bit():
    try:
        numba.set_num_threads(1)
        alone = encode()
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert_array_equal(encode(), alone)


def test_worker_processes_give_equal_features():
    expected = encode()
    for result in joblib.Parallel(n_jobs=2)(joblib.delayed(encode)(ROWS) for _ in range(2)):
        assert_array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_after_a_call_can_call_again():
    code = (
        "import os, numpy as np\n"
        "from geofeat import SphericalHarmonicsEncoder\n"
        "X = np.random.default_rng(0).uniform(-90, 90, (20_000, 2))\n"
        "first = SphericalHarmonicsEncoder(5).transform(X)\n"
        "child = os.fork()\n"
        "again = SphericalHarmonicsEncoder(5).transform(X)\n"
        "if child == 0: os._exit(0 if np.array_equal(first, again) else 3)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_stops_long_work_within_two_seconds():
    code = (
        "import sys, numpy as np\n"
        "from geofeat import SphericalHarmonicsEncoder\n"
        "X = np.random.default_rng(0).uniform(-90, 90, (2_000_000, 2))\n"
        "encoder = SphericalHarmonicsEncoder(degree=60)\n"
        "encoder.transform(X[:10])\n"
        "print('ready', flush=True)\n"
        "for rows, block in encoder.transform_chunks(X, chunk_rows=len(X) // 100): pass\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert time.perf_counter() - start < 2
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0
