"""The rules of the house: rooms, imports, sizes, names."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "geofeat"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {"encoders", "embedders", "rasters", "learners", "evaluation", "datasets", "plotting"}
OPTIONAL = {"torch", "geopandas", "rasterio", "xarray", "matplotlib", "pyarrow", "pandas", "polars"}
OPTIONAL |= {"dask", "huggingface_hub", "safetensors", "zarr", "obstore", "urllib3"}
OPTIONAL |= {"diskcache", "distributed", "dask_geopandas", "exactextract"}
PRIVATE_SKLEARN = re.compile(r"(?<!_)sklearn(\.\w+)*\._|(?<!_)sklearn\S* import _")


def file_id(path):
    return path.relative_to(PACKAGE).as_posix()


def imported_modules(tree, *, top_level_only):
    """Names of modules imported, those under TYPE_CHECKING left out."""
    nodes = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and top_level_only:
            continue
        nodes.extend(
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.ExceptHandler)
        )


@pytest.fixture(params=FILES, ids=file_id)
def source(request):
    return request.param, ast.parse(request.param.read_text())


def test_rooms_do_not_import_each_other(source):
    path, tree = source
    room = path.relative_to(PACKAGE).parts[0]
    for module in imported_modules(tree, top_level_only=False):
        parts = module.split(".")
        if parts[0] != "geofeat" or len(parts) < 2:
            continue
        if room == "kernels":
            assert parts[1] == "kernels", f"a kernel imports {module}"
        elif room in ROOMS:
            assert parts[1] not in ROOMS - {room}, f"{room} imports {module}"
            if room in {"evaluation", "datasets"}:
                assert parts[1] != "kernels", f"{room} imports {module}"


def test_kernels_know_arrays_and_numba_only(source):
    path, tree = source
    if path.parent.name != "kernels":
        return
    allowed = {
        "numpy",
        "numba",
        "geofeat",
        "__future__",
        "functools",
        "math",
        "typing",
        "collections",
        "contextlib",
        "llvmlite",
        "operator",
    }
    assert {m.split(".")[0] for m in imported_modules(tree, top_level_only=False)} <= allowed


def test_optional_and_heavy_packages_are_imported_where_used(source):
    _, tree = source
    top = {module.split(".")[0] for module in imported_modules(tree, top_level_only=True)}
    assert not top & OPTIONAL


def test_private_scikit_learn_names_stay_in_one_file(source):
    path, _ = source
    if path.name != "_sklearn.py":
        assert not PRIVATE_SKLEARN.search(path.read_text())


def test_no_import_cycles():
    graph = {}
    for path in FILES:
        module = ".".join(("geofeat", *path.relative_to(PACKAGE).with_suffix("").parts))
        tree = ast.parse(path.read_text())
        graph[module.removesuffix(".__init__")] = {
            name
            for name in imported_modules(tree, top_level_only=True)
            if name.startswith("geofeat.")
        }

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        for name in graph.get(module, ()):
            visit(name, [*trail, module])

    for module in graph:
        visit(module, [])


def test_files_and_functions_stay_short(source):
    path, tree = source
    assert len(path.read_text().splitlines()) <= 500
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert node.end_lineno - body[0].lineno < 60, f"{node.name} is too long"


def test_names_have_a_subject_and_folders_two_levels(source):
    path, _ = source
    assert path.stem.strip("_") not in {"utils", "helpers", "core", "misc", "common", "manager"}
    assert len(path.relative_to(PACKAGE).parts) <= 2


def test_one_public_class_a_file(source):
    path, tree = source
    if path.name == "exceptions.py":
        return
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    plain = [
        n for n in classes if {ast.unparse(base) for base in n.bases} & {"NamedTuple", "Protocol"}
    ]
    dataclasses = [
        n for n in classes if any("dataclass" in ast.unparse(d) for d in n.decorator_list)
    ]
    assert len(classes) - len({*plain, *dataclasses}) <= 1


def test_nothing_unsafe_is_loaded(source):
    path, _ = source
    unsafe = r"\bimport pickle|pickle\.load|allow_pickle=True|weights_only=False|joblib\.load|dill"
    assert not re.search(unsafe, path.read_text())
    assert not re.search(r"fastmath=True|parallel=True", path.read_text())
