"""The thread limit of matrix products ends with its last holder."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from geofeat._blas import single_threaded_blas


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture(autouse=True)
def blas_is_loaded():
    np.ones((4, 4)) @ np.ones((4, 4))
    if not blas_threads():
        pytest.skip("threadpoolctl knows no BLAS here")


def test_products_have_one_thread_inside_and_as_many_as_before_outside():
    before = blas_threads()
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_an_error_gives_the_threads_back():
    before = blas_threads()
    with pytest.raises(KeyError), single_threaded_blas():
        raise KeyError
    assert blas_threads() == before


def test_callers_that_overlap_leave_nothing_behind():
    before = blas_threads()
    first_inside, second_inside, first_left = (threading.Event() for _ in range(3))

    def first():
        with single_threaded_blas():
            first_inside.set()
            second_inside.wait(10)

    def second():
        first_inside.wait(10)
        with single_threaded_blas():
            second_inside.set()
            first_left.wait(10)

    callers = [threading.Thread(target=first), threading.Thread(target=second)]
    for caller in callers:
        caller.start()
    callers[0].join()
    first_left.set()
    callers[1].join()
    assert blas_threads() == before


def test_a_thread_of_its_own_can_set_the_limit_after_the_main_thread_did():
    with single_threaded_blas():
        pass
    inside = []

    def limit():
        with single_threaded_blas():
            inside.extend(blas_threads())

    thread = threading.Thread(target=limit)
    thread.start()
    thread.join()
    assert set(inside) == {1}


def test_products_of_another_thread_stay_right():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 400)), rng.normal(size=(400, 200))
    expected = a @ b
    right = []

    def multiply():
        right.extend(np.allclose(a @ b, expected, rtol=1e-12) for _ in range(50))

    other = threading.Thread(target=multiply)
    other.start()
    while other.is_alive():
        with single_threaded_blas():
            a @ b
    other.join()
    assert len(right) == 50
    assert all(right)
