"""Files damaged at random, in ways that disks, networks and half-finished copies know."""

import numpy as np

DAMAGES = ("flip", "truncate", "splice", "zero", "insert", "int32")
_EXTREMES = (0, 1, -1, 255, 2**16, 2**24, 2**31 - 1, -(2**31))


def damaged(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """A damaged copy; every other time the damage lies near an end, where formats keep headers."""
    size = len(data)
    edge = min(size, 600)
    at = int(rng.choice([rng.integers(size), rng.integers(edge), size - 1 - rng.integers(edge)]))
    length = int(rng.integers(1, 65))
    out = bytearray(data)
    if kind == "flip":
        for _ in range(int(rng.integers(1, 5))):
            out[min(size - 1, at + int(rng.integers(64)))] ^= 1 << int(rng.integers(8))
    elif kind == "truncate":
        del out[at:]
    elif kind == "splice":
        source = int(rng.integers(size))
        out[at : at + length] = data[source : source + length]
    elif kind == "zero":
        out[at : at + length] = bytes(len(out[at : at + length]))
    elif kind == "insert":
        out[at:at] = rng.bytes(length)
    else:
        order = "little" if rng.integers(2) else "big"
        value = int(rng.choice(_EXTREMES)).to_bytes(4, order, signed=True)
        out[at - at % 4 : at - at % 4 + 4] = value
    return bytes(out)
