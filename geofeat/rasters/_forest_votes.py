"""Random forests of pure leaves as arrays that a kernel reads: votes instead of probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from geofeat.kernels._forest import count_votes

# The kernel visits every node for 64 rows at once: larger trees are walked faster row by row.
_MOST_NODES = 4096
_MOST_TREES = 2**16 - 1


class ForestVotes(NamedTuple):
    """Arrays of a forest, as `count_votes` takes them."""

    n_features: int
    feature: np.ndarray
    limit: np.ndarray
    left: np.ndarray
    right: np.ndarray
    starts: np.ndarray
    leaves: np.ndarray

    def tally(self, rows: np.ndarray, which: np.ndarray) -> np.ndarray | None:
        """Trees that vote for each class, int64 of shape (m, classes), at ``rows[which]``.

        None where a row has a NaN, which trees treat in ways of their own.
        """
        votes = np.empty((which.size, self.leaves.shape[1] - 1), dtype=np.int64)
        return votes if count_votes(rows, which, *self[1:], votes) else None

    def for_bytes(self, tables: np.ndarray) -> CodedForest | None:
        """Return the same forest for stored bytes instead of their values.

        Parameters
        ----------
        tables : float32 array of shape (n_features, 256)
            Value of each byte of each band, NaN for a missing one.

        Returns
        -------
        coded : CodedForest or None
            None where some band has more than 255 values.
        """
        codes = np.zeros(tables.shape, dtype=np.int8)
        limit = np.empty(self.limit.size, dtype=np.int8)
        for band, table in enumerate(tables):
            values = np.unique(table[~np.isnan(table)])
            if values.size > 255:
                return None
            # A limit below all values has code -128, the smallest value -127.
            codes[band] = np.searchsorted(values, table) - 127
            here = self.feature == band
            limit[here] = np.searchsorted(values, self.limit[here], side="right") - 128
        codes[np.isnan(tables)] = 0
        return CodedForest(codes, np.isnan(tables), self._replace(limit=limit))


class CodedForest(NamedTuple):
    """Codes of bytes in the order of their values, missing bytes, and a forest of such codes."""

    codes: np.ndarray
    is_missing: np.ndarray
    forest: ForestVotes


def forest_votes(model: Any) -> ForestVotes | None:
    """Arrays of a fitted forest; None for other models and for forests that the kernel cannot do.

    It can do random forests and extra trees of one output whose leaves are pure, as they are when
    neither depth nor leaf size is bounded, with trees of a few thousand nodes.
    """
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    # Heirs may predict otherwise.
    if type(model) not in (RandomForestClassifier, ExtraTreesClassifier) or model.n_outputs_ != 1:
        return None
    trees = [estimator.tree_ for estimator in model.estimators_]
    sizes = [tree.node_count for tree in trees]
    if max(sizes) > _MOST_TREES or np.mean(sizes) > _MOST_NODES or len(trees) > _MOST_TREES:
        return None
    if model.n_features_in_ > _MOST_TREES:
        return None
    parts = []
    for tree in trees:
        is_leaf = tree.children_left < 0
        share = tree.value[is_leaf, 0]
        if not (np.count_nonzero(share, axis=1) == 1).all() or not (share.max(axis=1) == 1).all():
            return None
        parts.append(_arrays(tree, is_leaf, model.n_classes_))
    feature, limit, left, right, leaves = zip(*parts, strict=True)
    return ForestVotes(
        model.n_features_in_,
        np.concatenate(feature).astype(np.uint16),
        np.concatenate(limit),
        np.concatenate(left).astype(np.uint16),
        np.concatenate(right).astype(np.uint16),
        np.concatenate([[0], np.cumsum([part.size for part in feature])]),
        np.array(leaves, dtype=np.int64),
    )


def _arrays(tree: Any, is_leaf: np.ndarray, n_classes: int) -> tuple[np.ndarray, ...]:
    """Feature, limit and children of a tree's inner nodes by level, and where its leaves begin."""
    inner = np.flatnonzero(~is_leaf)
    inner = inner[np.argsort(tree.compute_node_depths()[inner], kind="stable")]
    leaf = np.flatnonzero(is_leaf)
    label = tree.value[leaf, 0].argmax(axis=1)
    by_label = np.argsort(label, kind="stable")
    place = np.empty(tree.node_count, dtype=np.int64)
    place[inner] = np.arange(inner.size)
    place[leaf[by_label]] = inner.size + np.arange(leaf.size)
    # x > t for a float32 x and a float64 t is x > the last float32 that is not beyond t.
    limit = tree.threshold[inner].astype(np.float32)
    beyond = limit > tree.threshold[inner]
    limit[beyond] = np.nextafter(limit[beyond], np.float32(-np.inf))
    starts = inner.size + np.searchsorted(label[by_label], np.arange(n_classes + 1))
    left, right = place[tree.children_left[inner]], place[tree.children_right[inner]]
    return tree.feature[inner], limit, left, right, starts
