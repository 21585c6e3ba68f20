"""Votes of forests against scikit-learn's own walk through the trees."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.kernels._forest import ROWS, count_votes, scatter_codes


def arrays_of(trees, n_classes, dtype):
    """Arrays of trees given as nested tuples (feature, limit, left, right), leaves as numbers."""
    feature, limit, left, right, starts, leaves = [], [], [], [], [0], []
    for tree in trees:
        inner, ends = [], []
        level = [tree]
        while level:
            inner += [node for node in level if isinstance(node, tuple)]
            ends += [(node, i) for i, node in enumerate(level) if not isinstance(node, tuple)]
            level = [c for node in level if isinstance(node, tuple) for c in node[2:]]
        place = {id(node): i for i, node in enumerate(inner)}
        slots = []
        for node in inner:
            slots += [
                (c, id(node), i == 0) for i, c in enumerate(node[2:]) if not isinstance(c, tuple)
            ]
        slots.sort(key=lambda slot: slot[0])
        where = {(parent, first): len(inner) + i for i, (_, parent, first) in enumerate(slots)}
        for node in inner:
            feature.append(node[0])
            limit.append(node[1])
            for child, first, out in ((node[2], True, left), (node[3], False, right)):
                key = (id(node), first)
                out.append(place[id(child)] if isinstance(child, tuple) else where[key])
        starts.append(len(feature))
        labels = np.array([slot[0] for slot in slots])
        leaves.append(len(inner) + np.searchsorted(labels, np.arange(n_classes + 1)))
    return (
        np.array(feature, dtype=np.uint16),
        np.array(limit, dtype=dtype),
        np.array(left, dtype=np.uint16),
        np.array(right, dtype=np.uint16),
        np.array(starts),
        np.array(leaves),
    )


def random_tree(rng, depth, n_features, n_classes):
    if depth == 0 or rng.random() < 0.2:
        return int(rng.integers(n_classes)) * 1.0
    limit = int(rng.integers(-128, 127))
    sides = [random_tree(rng, depth - 1, n_features, n_classes) for _ in range(2)]
    return (int(rng.integers(n_features)), limit, *sides)


def walked(trees, rows, n_classes):
    votes = np.zeros((len(rows), n_classes), dtype=int)
    for tree in trees:
        for i, row in enumerate(rows):
            node = tree
            while isinstance(node, tuple):
                node = node[3] if row[node[0]] > node[1] else node[2]
            votes[i, int(node)] += 1
    return votes


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("n_rows", [1, ROWS - 1, ROWS, 3 * ROWS + 5])
def test_votes_are_those_of_a_walk_through_each_tree(dtype, n_rows):
    rng = np.random.default_rng(n_rows)
    trees = [(0, 0, 0.0, 1.0), *(random_tree(rng, 6, 5, 4) for _ in range(40))]
    trees = [tree for tree in trees if isinstance(tree, tuple)]
    rows = rng.integers(-128, 128, (n_rows + 7, 5)).astype(dtype)
    which = rng.permutation(n_rows + 7)[:n_rows]
    out = np.full((n_rows, 4), -1)
    assert count_votes(rows, which, *arrays_of(trees, 4, dtype), out)
    assert_array_equal(out, walked(trees, rows[which], 4))


def test_a_missing_number_is_refused():
    rows = np.zeros((3, 2), dtype=np.float32)
    rows[1, 1] = np.nan
    trees = arrays_of([(0, 0.0, 0.0, 1.0)], 2, np.float32)
    assert not count_votes(rows, np.arange(3), *trees, np.empty((3, 2), dtype=np.int64))
    assert count_votes(rows, np.array([0, 2]), *trees, np.empty((2, 2), dtype=np.int64))


def test_bytes_go_to_rows_and_spare_rows():
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (3, 50), dtype=np.uint8)
    codes = rng.integers(-128, 128, (3, 256), dtype=np.int8)
    is_missing = np.zeros((3, 256), dtype=bool)
    is_missing[1, 7:60] = True
    rows = np.concatenate([rng.permutation(30), -1 - rng.permutation(20)])
    out, spare = np.zeros((30, 3), dtype=np.int8), np.zeros((20, 3), dtype=np.int8)
    valid = scatter_codes(raw, codes, is_missing, rows, out, spare)
    for i, row in enumerate(rows):
        target = out[row] if row >= 0 else spare[-1 - row]
        assert_array_equal(target, [codes[band, raw[band, i]] for band in range(3)])
        assert valid[i] == (not 7 <= raw[1, i] < 60)
