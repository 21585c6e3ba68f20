"""The command line against the same calls in Python; its errors, statuses and plain tables."""

import importlib.util
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import geofeat
from geofeat import AlphaEarthSource, EmbeddingRasterSampler, list_models
from geofeat.__main__ import main
from geofeat._command_line import app
from geofeat._plain_commands import run_plain
from geofeat._shown_tables import human_bytes
from geofeat.rasters import _block_cache
from tests.rasters.writers import random_bytes, write_alphaearth

ROOT = Path(geofeat.__file__).parents[1]


def run_process(*words, **options):
    """The command in a process of its own, its streams being pipes."""
    return subprocess.run(
        [sys.executable, "-m", "geofeat", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder of AlphaEarth files of two years and 60 points on them, 3 beside them."""
    folder = tmp_path_factory.mktemp("scene")
    for year in (2022, 2023):
        stored = random_bytes(year, (64, 32, 32))
        path = folder / "aef" / str(year) / "32N" / "file.tiff"
        write_alphaearth(path, stored, epsg=32632, west=600000, south=5200000)
    rng = np.random.default_rng(0)
    x, y = 600000 + rng.uniform(0, 320, 63), 5200000 + rng.uniform(0, 320, 63)
    x[-3:] += 5000
    points = gpd.GeoDataFrame(
        {"plot": np.arange(63), "when": np.where(np.arange(63) % 2, 2022, 2023)},
        geometry=gpd.points_from_xy(x, y),
        crs=32632,
    ).to_crs(4326)
    points.to_parquet(folder / "points.parquet")
    points.to_file(folder / "points.gpkg")
    points.to_file(folder / "points.geojson")
    plain = pd.DataFrame(points.drop(columns="geometry"))
    plain["lon"], plain["lat"] = points.geometry.x, points.geometry.y
    plain.to_csv(folder / "points.csv", index=False)
    pd.DataFrame({"x": x, "y": y}).to_csv(folder / "metres.csv", index=False)
    sampler = EmbeddingRasterSampler(folder / "aef", year=2022, on_missing="nan")
    return folder, points, sampler


@pytest.mark.parametrize("kind", ["parquet", "gpkg", "geojson", "csv"])
def test_sampling_equals_the_sampler_for_every_kind_of_points(scene, tmp_path, capsys, kind):
    folder, points, sampler = scene
    out = tmp_path / "out.parquet"
    words = ["sample", folder / f"points.{kind}", "--source", folder / "aef", "-y", "2022"]
    assert main([*map(str, words), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"63 rows (60 ok, 3 no_coverage) -> {out}\n"
    frame = gpd.read_parquet(out)
    values = sampler.transform(points)
    assert_array_equal(frame[sampler.get_feature_names_out()].to_numpy(), values)
    assert frame["plot"].tolist() == points["plot"].tolist()
    assert frame["reason"].tolist() == ["ok"] * 60 + ["no_coverage"] * 3
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["csv", "gpkg", "geojson"])
def test_other_kinds_of_files_are_written(scene, tmp_path, kind):
    folder, points, sampler = scene
    out = tmp_path / f"out.{kind}"
    words = ["sample", str(folder / "points.parquet"), "-s", str(folder / "aef"), "-y", "2022"]
    words += ["-o", str(out), "--columns", "plot,geometry", "--bands", "A03,0", "--quiet"]
    assert main(words) == 0
    frame = pd.read_csv(out) if kind == "csv" else gpd.read_file(out)
    values = sampler.transform(points)[:, [3, 0]]
    assert_allclose(frame[["A03", "A00"]].to_numpy(), values, rtol=1e-6)
    assert frame["plot"].tolist() == points["plot"].tolist()
    assert "when" not in frame
    if kind == "csv":
        assert_allclose(frame["lon"], points.geometry.x, rtol=1e-12)
        assert list(frame.columns) == ["lon", "lat", "plot", "A03", "A00", "reason"]
    assert list(tmp_path.iterdir()) == [out]
    before = out.read_bytes()
    assert main(words) == 1
    assert out.read_bytes() == before
    assert main([*words, "--no-resume"]) == 0


def test_years_types_and_systems_are_those_of_python(scene, tmp_path):
    folder, points, _ = scene
    aef = str(folder / "aef")
    words = ["sample", str(folder / "points.parquet"), "-s", aef, "-q", "-o"]
    by_column, several, half = (str(tmp_path / f"{name}.parquet") for name in "abc")
    assert main([*words, by_column, "--year", "when"]) == 0
    expected = EmbeddingRasterSampler(aef, year="when", on_missing="nan").fit(points)
    frame = gpd.read_parquet(by_column)
    names = EmbeddingRasterSampler(aef, year=2022).get_feature_names_out()
    assert_array_equal(frame[names].to_numpy(), expected.transform(points))
    assert main([*words, several, "-y", "2022", "-y", "2023", "--normalize", "l2"]) == 0
    both = EmbeddingRasterSampler(aef, year=[2022, 2023], normalize="l2", on_missing="nan")
    frame = gpd.read_parquet(several)
    assert_array_equal(frame[both.get_feature_names_out()].to_numpy(), both.transform(points))
    words[1] = str(folder / "metres.csv")
    assert (
        main(
            [*words, half, "-y", "2024", "--lag", "-1", "--crs", "EPSG:32632", "--dtype", "float16"]
        )
        == 0
    )
    frame = gpd.read_parquet(half)
    lagged = EmbeddingRasterSampler(aef, year=2023, on_missing="nan").transform(points)
    assert_array_equal(frame[names].to_numpy(), lagged.astype(np.float16))


def test_the_published_products_go_by_name(scene, tmp_path, monkeypatch):
    folder, _, _ = scene
    made = []
    monkeypatch.setattr(
        geofeat, "AlphaEarthSource", lambda: made.append("aef") or AlphaEarthSource(folder / "aef")
    )
    monkeypatch.setattr(geofeat, "TesseraSource", lambda: made.append("tessera") or folder / "aef")
    for name in ("aef", "tessera"):
        words = ["coverage", str(folder / "points.parquet"), "--source", name, "-y", "2022"]
        assert main(words) == 0
    assert made == ["aef", "tessera"]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--window", "3", "--statistic", "std"], {"window": 3, "statistic": "std"}),
        (["--radius", "25.5"], {"radius": 25.5}),
        (["--method", "bilinear"], {"method": "bilinear"}),
    ],
)
def test_windows_are_those_of_the_sampler(scene, tmp_path, words, options):
    folder, points, _ = scene
    out = tmp_path / "out.parquet"
    given = ["sample", str(folder / "points.parquet"), "-s", str(folder / "aef"), "-y", "2022"]
    assert main([*given, "-q", "-o", str(out), "--bands", "A01,A02", *words]) == 0
    sampler = EmbeddingRasterSampler(
        folder / "aef", year=2022, bands=["A01", "A02"], on_missing="nan", **options
    )
    values = gpd.read_parquet(out)[["A01", "A02"]].to_numpy()
    assert_allclose(values, sampler.transform(points), rtol=1e-6)


def test_coverage_prints_the_table_of_the_sampler(scene, capsys):
    folder, points, _ = scene
    assert main(["coverage", str(folder / "points.gpkg"), "-s", str(folder / "aef")]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    report = EmbeddingRasterSampler(folder / "aef").coverage(points)
    assert cells[0] == ["year", *report.columns]
    for line, (year, row) in zip(cells[1:], report.iterrows(), strict=True):
        assert line[0] == str(year)
        assert line[1:-1] == [str(number) for number in row[:-1]]
        assert line[-1] == human_bytes(row["bytes"])


def test_embedding_equals_the_embedder(scene, tmp_path, monkeypatch):
    folder, points, _ = scene
    calls = []

    class Stub(geofeat.CartesianEncoder):
        def __init__(self, model=None, *, weights=None, device=None, radius=1.0):
            super().__init__(radius=radius)
            self.model, self.weights, self.device = model, weights, device
            calls.append((model, weights))

    monkeypatch.setattr(geofeat, "SatCLIPEmbedder", Stub)
    out = tmp_path / "out.parquet"
    words = ["embed", str(folder / "points.parquet"), "-m", "satclip-vit16-l40", "-o", str(out)]
    assert main([*words, "--weights", str(tmp_path / "w.safetensors"), "-q"]) == 0
    assert calls[0] == ("satclip-vit16-l40", tmp_path / "w.safetensors")
    values = geofeat.CartesianEncoder().transform(points)
    assert_allclose(gpd.read_parquet(out)[["x", "y", "z"]].to_numpy(), values, atol=1e-7)


def test_models_are_listed_plainly_when_nobody_watches(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "model",
        "embedder",
        "n_features",
        "megabytes",
        "licence",
        "reference",
    ]
    assert [line.split()[0] for line in lines[1:]] == list_models().index.tolist()
    assert "\x1b" not in "".join(lines)


def test_terminals_get_a_framed_table(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["models"]) == 0
    assert "┃" in capsys.readouterr().out


def test_the_cache_is_told_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path))
    _block_cache.write_entry("a", b"x" * 3000)
    assert main(["cache", "info"]) == 0
    told = capsys.readouterr().out
    info = _block_cache.cache_info()
    assert info.blocks == 1
    assert str(tmp_path) in told
    assert f"{info.blocks}, {human_bytes(info.block_bytes)}" in told
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"freed {human_bytes(info.block_bytes)}\n"
    assert _block_cache.cache_info().blocks == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40, "1.0 TiB"), (2**52, "4096.0 TiB")],
)
def test_bytes_for_people(count, text):
    assert human_bytes(count) == text


def test_weights_are_converted(tmp_path, capsys):
    arrays = {"w": np.arange(6.0).reshape(2, 3)}
    save_file(arrays, tmp_path / "a.safetensors")
    words = ["convert-weights", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    assert main(words) == 0
    assert_array_equal(load_file(tmp_path / "b.safetensors")["w"], arrays["w"])
    assert main(words) == 1
    assert "overwrite=True" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dmeo"], "dmeo"),
        (["sample"], "points"),
        (["sample", "a.parquet", "--source", "x"], "out"),
        (["models", "--nonsense"], "--nonsense"),
        (["sample", "a", "-s", "x", "-o", "b.csv", "--dtype", "float1"], "float1"),
        (["sample", "a", "-s", "x", "-o", "b.csv", "-y", "2022", "-y", "when"], "one column"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(capsys, words, said):
    assert main(words) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("geofeat: ")
    assert streams.err.count("\n") == 1
    assert said in streams.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample", "no.parquet", "-s", "x", "-o", "b.parquet"], "no.parquet does not exist"),
        (["sample", "no.parquet", "-s", "x", "-o", "b.xls"], "b.xls must end in"),
        (["sample", "no.parquet", "-s", "x", "-o", "no/b.csv"], "folder no does not exist"),
        (["embed", "no.parquet", "-m", "satklip", "-o", "b.parquet"], "no model 'satklip'"),
        (["coverage", "here.csv", "-s", "x"], "no columns lon and lat"),
        (["coverage", "here.txt", "-s", "x"], "none of .parquet"),
        (["convert-weights", "no.pt", "b.safetensors"], "no.pt"),
    ],
)
def test_errors_are_one_line_and_status_1(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path("here.csv").write_text("a,b\n1,2\n")
    Path("here.txt").write_text("")
    assert main(words) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("geofeat: ")
    assert streams.err.count("\n") == 1
    assert said in streams.err
    assert main(["--debug", *words]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_errors_that_nobody_expected_tell_their_kind(capsys, monkeypatch):
    def fail():
        raise KeyError("key")

    monkeypatch.setattr(geofeat, "list_models", fail)
    assert main(["models"]) == 1
    assert capsys.readouterr().err == "geofeat: KeyError: 'key' (geofeat --debug ... shows where)\n"


def test_ctrl_c_is_status_130(capsys, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(geofeat, "list_models", interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "geofeat: interrupted\n"


def test_versions_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"geofeat {geofeat.__version__}\n"
    assert main(["versions"]) == 0
    assert capsys.readouterr().out.startswith("geofeat")
    assert main([]) == 0
    by_default = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == by_default
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert name in by_default
        assert main([name, "--help"]) == 0
        assert "Usage: geofeat" in capsys.readouterr().out
    assert CliRunner().invoke(app, ["cache", "--help"]).exit_code == 0


def test_a_real_process_prints_plain_help_quickly_imported():
    code = (
        "import sys; from geofeat.__main__ import main; status = main(['sample', '--help']); "
        "heavy = {'pandas', 'geopandas', 'rasterio', 'sklearn', 'torch', 'pyarrow', 'numba'}; "
        "sys.exit(status or len(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: geofeat sample")
    assert not any(sign in done.stdout for sign in "│╭┃\x1b")


def test_a_real_process_fails_in_one_line(tmp_path):
    done = run_process("coverage", tmp_path / "none.parquet", "-s", "aef")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"geofeat: {tmp_path / 'none.parquet'} does not exist\n"
    assert run_process("dmeo").returncode == 2


def test_a_real_process_samples_without_a_terminal(scene, tmp_path):
    folder, points, sampler = scene
    out = tmp_path / "out.parquet"
    words = ["sample", folder / "points.parquet", "-s", folder / "aef", "-y", "2022", "-o", out]
    done = run_process(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"63 rows (60 ok, 3 no_coverage) -> {out}\n"
    assert_array_equal(gpd.read_parquet(out)["A00"], sampler.transform(points)[:, 0])


def test_a_real_process_stops_at_ctrl_c():
    code = (
        "import geofeat, time; from geofeat.__main__ import main; "
        "geofeat.list_models = lambda: (print('ready', flush=True), time.sleep(60)); "
        "raise SystemExit(main(['models']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "geofeat: interrupted\n"


def test_without_typer_versions_and_demo_remain(monkeypatch, capsys, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "typer" else find(name)
    )
    assert main(["versions"]) == 0
    assert capsys.readouterr().out.startswith("geofeat")
    for words in (["sample", "a"], [], ["demo", "--nonsense"]):
        assert main(words) == 2
        assert "pip install 'geofeat[cli]'" in capsys.readouterr().err
    folders = []
    monkeypatch.setattr(
        "geofeat._demo.run_demo",
        lambda output, progress: folders.append(output) or type("Result", (), {"report": "told"}),
    )
    assert main(["demo"]) == 0
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert folders == [Path("demo"), tmp_path]
    assert capsys.readouterr().out == "told\ntold\n"
    # The demo needs matplotlib, and says so before any work.
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run_plain(["demo", "--output", str(tmp_path / "demo")]) == 1
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 1
    assert capsys.readouterr().err.count("pip install 'geofeat[plot]'") == 2
    assert list(tmp_path.iterdir()) == []


def test_warnings_are_one_line_on_the_error_stream(scene, tmp_path, capsys):
    folder, points, _ = scene
    broken = pd.DataFrame({"lon": points.geometry.x, "lat": points.geometry.y})
    broken.loc[3, "lat"] = 95.0
    broken.to_csv(tmp_path / "points.csv", index=False)
    words = ["sample", str(tmp_path / "points.csv"), "-s", str(folder / "aef"), "-y", "2022"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*words, "-o", str(tmp_path / "out.csv"), "-q"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("geofeat: warning: ")
    assert "outside [-90, 90]" in error
    assert all(line.startswith("geofeat: warning: ") for line in error.splitlines())
