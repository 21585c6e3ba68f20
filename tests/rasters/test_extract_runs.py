"""Sorted keys cut into groups: nothing lost, blocks whole, files of a group its own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.rasters import _extract_runs
from geofeat.rasters._extract_runs import cut_groups, parts_of


def random_keys(rng):
    """Keys of a few files of a few blocks, among them places without any, and their counts."""
    files = np.sort(rng.choice(40, rng.integers(1, 12), replace=False))
    blocks = [np.sort(rng.choice(50, rng.integers(1, 9), replace=False)) for _ in files]
    keys = np.concatenate(
        [(file << 40) + (cells << 20) for file, cells in zip(files, blocks, strict=True)]
    )
    keys = np.concatenate([[-1], keys]) if rng.integers(2) else keys
    return keys, rng.integers(1, 60, keys.size)


@pytest.mark.parametrize("seed", range(40))
def test_groups_hold_every_item_once_and_no_file_is_in_two_chains(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    keys, counts = random_keys(rng)
    most = int(rng.integers(5, 120))
    monkeypatch.setattr(_extract_runs, "_GROUP_DECODED_BYTES", 600)
    sizes = {int(file): int(rng.integers(0, 250)) for file in np.unique(keys >> 40)}
    cuts = cut_groups(keys, counts, sizes, most)
    every = np.repeat(keys, counts)
    held, chains = [], {}
    for cut in cuts:
        first, stop = np.searchsorted(every, [cut.first, cut.stop])
        bounds = parts_of(int(stop - first), cut.parts)
        items = every[first + bounds[cut.part] : first + bounds[cut.part + 1]]
        assert items.size == cut.items <= most
        held.append(items)
        blocks = np.unique(items)
        decoded = sum(sizes[int(key >> 40)] for key in blocks)
        assert decoded <= 600
        for file in np.unique(items >> 40).tolist():
            chains.setdefault(file, set()).add(cut.chain)
    assert_array_equal(np.concatenate(held), every)
    assert all(len(found) == 1 for found in chains.values())
    small = [cut for cut in cuts if cut.parts == 1]
    for cut in small:  # the ends of a group are ends of blocks
        assert cut.first in keys
        assert cut.stop - 1 in keys


def test_small_files_share_a_group():
    keys = np.arange(100, dtype=np.int64) << 40
    cuts = cut_groups(keys, np.full(100, 3), {}, 60)
    assert [cut.items for cut in cuts] == [60] * 5
    assert [cut.chain for cut in cuts] == list(range(5))
