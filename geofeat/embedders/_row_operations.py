"""Operations on the rows of a block: softmax, layer normalisation, unit length.

In NumPy they overwrite what they are given, an array of shape (n, width) that the caller owns. Of
tensors they make new ones: gradients need the values in between.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

# What torch.nn.LayerNorm and torch.nn.functional.normalize add or stop at.
_LAYER_NORM_EPSILON = 1e-5
_SMALLEST_NORM = 1e-12


def softmax(x: Any, xp: Any) -> Any:
    """Exponentials that sum to 1 in each row."""
    minus, over, _, _ = _operators(xp)
    x = exponential(minus(x, xp.max(x, axis=1, keepdims=True)), xp)
    return over(x, xp.sum(x, axis=1, keepdims=True))


def exponential(x: Any, xp: Any) -> Any:
    """Exponentials, in NumPy without another array."""
    return np.exp(x, out=x) if xp is np else xp.exp(x)


def layer_norm(x: Any, weight: Any, bias: Any, xp: Any) -> Any:
    """Rows of mean 0 and variance 1, times a weight plus a bias a column."""
    minus, over, times, plus = _operators(xp)
    x = minus(x, xp.mean(x, axis=1, keepdims=True))
    x = over(x, xp.sqrt(xp.mean(x * x, axis=1, keepdims=True) + _LAYER_NORM_EPSILON))
    return plus(times(x, weight), bias)


def to_unit_length(x: Any, xp: Any) -> Any:
    """Rows of Euclidean length 1; a row of zeros stays."""
    lengths = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    return _operators(xp)[1](x, xp.clip(lengths, min=_SMALLEST_NORM))


def _operators(xp: Any) -> tuple[Callable[[Any, Any], Any], ...]:
    """Minus, over, times and plus; in NumPy into their first operand."""
    if xp is np:
        return operator.isub, operator.itruediv, operator.imul, operator.iadd
    return operator.sub, operator.truediv, operator.mul, operator.add
