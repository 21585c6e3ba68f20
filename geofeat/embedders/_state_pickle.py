"""The pickle inside a torch file, read as data: no name is imported, nothing is called.

A pickle is a program whose instructions may import and call anything. Checkpoints written by
torch.save (pickle protocol 2) need few instructions and few names. Both are listed here; a program
that goes beyond them is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickletools import genops
from typing import Any, ClassVar

from geofeat.exceptions import LimitError, UnsafeFileError

# A tensor takes about forty, an instruction about a microsecond.
_MAX_INSTRUCTIONS = 1_000_000
# What the program may use again and again has to be small: keys, arguments and shapes.
_MAX_KEY_CHARACTERS = 4096
_MAX_KEY_BITS = 64
_MAX_ARGUMENTS = 16
_MAX_AXES = 64
_CONVERT = (
    "Where you trust the file, convert it with torch: torch.load(path, weights_only=True), "
    "then safetensors.torch.save_file"
)


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, in a member of the archive.

    Parameters
    ----------
    key : str
        Name of the member below ``data/``.
    dtype : str
        Their type: a NumPy name, or bfloat16.
    length : int
        How many there are.
    """

    key: str
    dtype: str
    length: int


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor: which numbers of a storage it shows, never any outside.

    Parameters
    ----------
    storage : Storage
        Where the numbers lie.
    offset : int
        Position of the first.
    shape, strides : tuple of int
        Length of each axis, and the step along it; both in numbers, not bytes.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if type(self.storage) is not Storage:
            raise ValueError("a tensor without a storage")
        for lengths in ((self.offset,), self.shape, self.strides):
            if type(lengths) is not tuple or len(lengths) > _MAX_AXES:
                raise ValueError("a tensor of impossible layout")
            if any(type(length) is not int or length < 0 for length in lengths):
                raise ValueError("a tensor whose layout is not given in counts")
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps)
        if 0 not in self.shape and last >= self.storage.length:
            raise ValueError("a tensor that reaches beyond its storage")


@dataclass(frozen=True, slots=True)
class _Name:
    """What stands for a name of the list; ``make`` stands for a call of it."""

    text: str
    make: Callable[..., object]


# Stands for every object of which nothing is kept.
_LEFT_OUT = object()


def _leave_out(*_: object) -> object:
    return _LEFT_OUT


def _empty_dict(*arguments: object) -> dict[object, object]:
    # A defaultdict has its factory for an argument. Contents come by later instructions.
    if any(type(argument) is not _Name for argument in arguments):
        raise ValueError("a dictionary made from arguments")
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> TensorView:
    return TensorView(storage, offset, shape, strides)


def _parameter(tensor: object, *_: object) -> object:
    return tensor


_STORAGE_DTYPES = {
    "torch DoubleStorage": "float64",
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16",
    "torch LongStorage": "int64",
    "torch IntStorage": "int32",
    "torch ShortStorage": "int16",
    "torch CharStorage": "int8",
    "torch ByteStorage": "uint8",
    "torch BoolStorage": "bool",
}
_DICTS = (
    "collections OrderedDict",
    "collections defaultdict",
    "lightning.fabric.utilities.data AttributeDict",
    "lightning.pytorch.utilities.parsing AttributeDict",
    "lightning_fabric.utilities.data AttributeDict",
    "pytorch_lightning.utilities.parsing AttributeDict",
)
_HARMLESS = (
    *_STORAGE_DTYPES,
    "torch Size",
    "torch device",
    "torch float64",
    "torch float32",
    "torch float16",
    "torch bfloat16",
    "torch int64",
    "torch int32",
    "torch int16",
    "torch int8",
    "torch uint8",
    "torch bool",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "_codecs encode",
    "argparse Namespace",
    "pathlib PosixPath",
    "pathlib WindowsPath",
    "pathlib PurePosixPath",
    "pathlib._local PosixPath",
    "pathlib._local WindowsPath",
    "pathlib._local PurePosixPath",
    # Factories of defaultdicts; protocol 2 writes builtins as Python 2 called them.
    "__builtin__ dict",
    "__builtin__ float",
    "__builtin__ list",
    "__builtin__ long",
    "__builtin__ set",
    "__builtin__ unicode",
)
_NAMES: dict[str, _Name] = {
    **{name: _Name(name, _leave_out) for name in _HARMLESS},
    **{name: _Name(name, _empty_dict) for name in _DICTS},
    "torch._utils _rebuild_tensor_v2": _Name("_rebuild_tensor_v2", _tensor),
    "torch._utils _rebuild_parameter": _Name("_rebuild_parameter", _parameter),
}


def read_state_pickle(program: bytes, path: Path) -> object:
    """Read what torch.save wrote into ``data.pkl``.

    Parameters
    ----------
    program : bytes
        The pickle.
    path : Path
        The file it comes from, for messages.

    Returns
    -------
    content : object
        Dictionaries, lists, tuples, text and numbers as such, tensors as `TensorView`; names and
        all other objects as stand-ins that hold nothing.

    Raises
    ------
    UnsafeFileError
        A name or an instruction that is not listed here.
    LimitError
        More instructions than any checkpoint has.
    CorruptFileError, ValueError, TypeError, IndexError, KeyError
        A program that makes no sense.
    """
    return _Machine(path).run(program)


class _Machine:
    """The stack and the memory on which the instructions of a pickle work."""

    def __init__(self, path: Path):
        self._path = path
        self._stack: list[Any] = []
        # The stacks below marks that are still open.
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: bytes) -> object:
        source = io.BytesIO(program)
        for count, (instruction, argument, _) in enumerate(genops(source)):
            if count == _MAX_INSTRUCTIONS:
                raise LimitError(
                    f"{self._path} describes its content in more than {_MAX_INSTRUCTIONS} steps, "
                    f"the bound for checkpoints. {_CONVERT}."
                )
            if instruction.name == "STOP":
                content = self._stack.pop()
                if self._stack or self._below or source.tell() != len(program):
                    raise ValueError("a description that goes on after its end")
                return content
            action = self._ACTIONS.get(instruction.name)
            if action is None:
                raise UnsafeFileError(
                    self._path,
                    f"its pickle holds the instruction {instruction.name}, which torch.save does "
                    f"not write by default and geofeat does not follow. {_CONVERT}",
                )
            action(self, argument)
        raise AssertionError("genops ends with STOP or raises")

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _protocol(self, version: int) -> None:
        if version != 2:
            raise UnsafeFileError(
                self._path,
                f"is written with pickle protocol {version}, torch.save writes 2. {_CONVERT}",
            )

    def _mark(self, _: None) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _tuple(self, _: None) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _short_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise ValueError("a tuple of missing items")
        items = self._stack[-length:]
        del self._stack[-length:]
        self._stack.append(tuple(items))

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError("items are appended to what is no list")
        target.extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError("items are set in what is no dictionary")
        for key in items[::2]:
            is_name = isinstance(key, str) and len(key) <= _MAX_KEY_CHARACTERS
            if not is_name and not (isinstance(key, int) and key.bit_length() <= _MAX_KEY_BITS):
                raise TypeError("a key of a dictionary that is neither a name nor a number")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _global(self, name: str) -> None:
        if name not in _NAMES:
            raise UnsafeFileError(
                self._path,
                f"its pickle asks for {name.replace(' ', '.', 1)[:200]!r}, which is not on the "
                f"list of harmless names; it was neither imported nor called. {_CONVERT}",
            )
        self._stack.append(_NAMES[name])

    def _call(self, _: None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not _Name or type(arguments) is not tuple:
            raise UnsafeFileError(self._path, "its pickle calls what is no name")
        if len(arguments) > _MAX_ARGUMENTS:
            raise ValueError("a call with too many arguments")
        self._stack.append(function.make(*arguments))

    def _build(self, _: None) -> None:
        """Drop the attributes of an object: state dictionaries have some, none of them needed."""
        self._stack.pop()
        if type(self._stack[-1]) is not dict and self._stack[-1] is not _LEFT_OUT:
            raise UnsafeFileError(self._path, "its pickle changes an object that is no container")

    def _storage(self, _: None) -> None:
        tag, kind, key, _device, length = self._stack.pop()
        if tag != "storage" or type(kind) is not _Name or kind.text not in _STORAGE_DTYPES:
            raise ValueError("a storage of unknown kind")
        if type(key) is not str or type(length) is not int or length < 0:
            raise ValueError("a storage without a name or a length")
        self._stack.append(Storage(key, _STORAGE_DTYPES[kind.text], length))

    _ACTIONS: ClassVar[dict[str, Callable[[_Machine, Any], None]]] = {
        "PROTO": _protocol,
        "MARK": _mark,
        "BINPUT": _put,
        "LONG_BINPUT": _put,
        "BINGET": _get,
        "LONG_BINGET": _get,
        "NONE": lambda self, _: self._push(None),
        "NEWTRUE": lambda self, _: self._push(True),
        "NEWFALSE": lambda self, _: self._push(False),
        "BININT": _push,
        "BININT1": _push,
        "BININT2": _push,
        "LONG1": _push,
        "BINFLOAT": _push,
        "BINUNICODE": _push,
        "SHORT_BINSTRING": _push,
        "EMPTY_TUPLE": lambda self, _: self._push(()),
        "EMPTY_LIST": lambda self, _: self._push([]),
        "EMPTY_DICT": lambda self, _: self._push({}),
        "TUPLE": _tuple,
        "TUPLE1": lambda self, _: self._short_tuple(1),
        "TUPLE2": lambda self, _: self._short_tuple(2),
        "TUPLE3": lambda self, _: self._short_tuple(3),
        "APPEND": lambda self, _: self._append([self._stack.pop()]),
        "APPENDS": lambda self, _: self._append(self._since_mark()),
        "SETITEM": lambda self, _: self._set([self._stack.pop(-2), self._stack.pop()]),
        "SETITEMS": lambda self, _: self._set(self._since_mark()),
        "GLOBAL": _global,
        "REDUCE": _call,
        "NEWOBJ": _call,
        "BUILD": _build,
        "BINPERSID": _storage,
    }
