"""Remote parquet files read in slices: what travels, what is kept, what is not believed."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geofeat.exceptions import CorruptFileError, DownloadError, LimitError
from geofeat.rasters import _index_table, _looks
from geofeat.rasters._index_table import ROW_GROUP, IndexTable
from geofeat.rasters._remote import forget
from tests.rasters.http_server import Fault, serving

YEARS = (2021, 2022, 2023, 2024)
ROWS = 20_000


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    for name in ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    forget()
    with serving() as files:
        yield files
    forget()


def make_index(*, by_year, **options):
    """80 000 rows in four row groups; five columns of which one is heavy."""
    rng = np.random.default_rng(0)
    year = np.repeat(YEARS, ROWS)
    if not by_year:
        rng.shuffle(year)
    table = pa.table(
        {
            "year": pa.array(year, pa.int32()),
            "path": [f"{number:040d}" for number in rng.integers(0, 2**62, year.size)],
            "west": rng.uniform(size=year.size),
            "heavy": rng.integers(0, 2**60, year.size),
            "assets": [{"data": {"href": f"x{i}"}} for i in range(year.size)],
        }
    ).replace_schema_metadata({b"geo": b"{}"})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **{"row_group_size": ROWS, **options})
    return table, buffer.getvalue()


def zero_footer(content):
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:start] + bytes(50) + content[start + 50 :]


def chunk_bytes(content, groups, columns):
    metadata = pq.read_metadata(io.BytesIO(content))
    return sum(
        metadata.row_group(group).column(leaf).total_compressed_size
        for group in groups
        for leaf in range(metadata.num_columns)
        if metadata.schema.column(leaf).path in columns
    )


def plain(table):
    return {name: table[name].to_pylist() for name in table.column_names if name != ROW_GROUP}


def expected(table, columns, year=None):
    if year is not None:
        table = table.filter(pa.compute.equal(table["year"], year))
    return plain(table.select(columns))


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "compression": "zstd"}])
def test_only_the_chunks_of_the_year_and_columns_travel(server, options):
    table, content = make_index(by_year=True, **options)
    index = IndexTable(server.put("/i.parquet", content))
    assert index.schema.names == table.schema.names
    assert index.schema.metadata[b"geo"] == b"{}"
    overhead = server.sent
    assert overhead <= 2**14 + 2**16
    found = index.read(["path", "west"], 2023)
    assert plain(found) == expected(table, ["path", "west"], 2023)
    assert found[ROW_GROUP].unique().to_pylist() == [2]
    assert server.sent - overhead == chunk_bytes(content, [2], {"year", "path", "west"})
    assert server.sent < len(content) / 4
    assert index.read(["west"], 1999).num_rows == 0
    assert index.read(["west"], 1999).column_names == ["west", ROW_GROUP]


def test_slices_of_other_years_in_the_same_row_groups_are_kept_too(server):
    table, content = make_index(by_year=False)
    index = IndexTable(server.put("/i.parquet", content))
    assert plain(index.read(["path"], 2022)) == expected(table, ["path"], 2022)
    server.forget()
    for year in YEARS:
        assert plain(index.read(["path"], year)) == expected(table, ["path"], year)
    assert server.requests == []


def test_of_a_year_that_goes_on_in_another_row_group_no_part_is_kept(server):
    table, content = make_index(by_year=True, row_group_size=15_000)
    index = IndexTable(server.put("/i.parquet", content))
    for year in YEARS:
        assert plain(index.read(["path"], year)) == expected(table, ["path"], year)


def test_a_later_process_reads_slices_and_asks_nothing(server, monkeypatch):
    table, content = make_index(by_year=True)
    url = server.put("/i.parquet", content)
    first = IndexTable(url)
    wanted = [
        plain(first.read(["path"], 2021)),
        plain(first.read(["year"])),
        plain(first.read_group(1, ["west", "year"])),
        plain(first.read(["assets"], 2024)),
    ]
    assert wanted[1] == expected(table, ["year"])
    assert wanted[2] == {name: table[name][ROWS : 2 * ROWS].to_pylist() for name in wanted[2]}
    assert wanted[3] == expected(table, ["assets"], 2024)
    server.forget()
    forget()
    # Blocks may have been evicted; slices are enough.
    monkeypatch.setattr("geofeat.rasters._remote.read_ranges", None)
    second = IndexTable(url)
    assert second.schema.equals(first.schema)
    assert [
        plain(second.read(["path"], 2021)),
        plain(second.read(["year"])),
        plain(second.read_group(1, ["west", "year"])),
        plain(second.read(["assets"], 2024)),
    ] == wanted
    assert server.requests == []


def test_damaged_and_foreign_slices_are_read_anew(server, tmp_path):
    table, content = make_index(by_year=True)
    url = server.put("/i.parquet", content)
    IndexTable(url).read(["path"], 2021)
    slices = list((tmp_path / "cache").rglob("*.parquet"))
    assert len(slices) == 1
    whole = slices[0].read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    foreign = io.BytesIO()
    pq.write_table(pa.table({"path": ["a"]}), foreign)
    for bad in (bytes(damaged), whole[:-50], b"", foreign.getvalue()):
        slices[0].write_bytes(bad)
        assert plain(IndexTable(url).read(["path"], 2021)) == expected(table, ["path"], 2021)
        assert slices[0].read_bytes() == whole


def test_a_replaced_index_is_noticed_and_its_old_slices_go(server, tmp_path, monkeypatch):
    table, content = make_index(by_year=True)
    url = server.put("/i.parquet", content)
    IndexTable(url).read(["path"], 2021)
    old = set((tmp_path / "cache").rglob("*.parquet"))
    server.put("/i.parquet", make_index(by_year=False)[1])
    monkeypatch.setattr(_looks, "_TRUSTED_SECONDS", -1)  # a day later
    found = IndexTable(url).read(["path"], 2021)
    assert plain(found) != expected(table, ["path"], 2021)
    assert found.num_rows == ROWS
    assert not old & set((tmp_path / "cache").rglob("*.parquet"))


def test_slices_serve_a_dead_network(server, monkeypatch, tmp_path):
    """Also when what the server once said of the file is not kept any more."""
    table, content = make_index(by_year=True)
    url = server.put("/i.parquet", content)
    IndexTable(url).read(["path"], 2021)
    forget()
    monkeypatch.setattr("geofeat.rasters._block_cache.read_entry", lambda key: None)
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")
    index = IndexTable(url)
    assert plain(index.read(["path"], 2021)) == expected(table, ["path"], 2021)
    with pytest.raises(DownloadError, match=r"i\.parquet"):
        index.read(["path"], 2022)


def test_where_slices_cannot_be_kept_reading_goes_on(server, tmp_path, monkeypatch):
    table, content = make_index(by_year=True)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "file"))
    index = IndexTable(server.put("/i.parquet", content))
    assert plain(index.read(["path"], 2021)) == expected(table, ["path"], 2021)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-20],
        lambda content: b"",
        lambda content: b"PAR1 and no more PAR1",
        lambda content: content[:-8] + (2**30).to_bytes(4, "little") + b"PAR1",
        lambda content: content[:-8] + (10).to_bytes(4, "little") + b"PAR1",
        zero_footer,
    ],
)
def test_what_is_no_parquet_is_told(server, change):
    _, content = make_index(by_year=True)
    index = IndexTable(server.put("/i.parquet", change(content)))
    with pytest.raises(CorruptFileError, match=r"i\.parquet"):
        index.read(["path"], 2021)
    assert server.sent < 2**18


def test_damaged_chunks_are_told(server):
    _, content = make_index(by_year=True, write_page_checksum=True)
    damaged = bytearray(content)
    start, _ = _index_table._span(pq.read_metadata(io.BytesIO(content)).row_group(0).column(1))
    damaged[start : start + 30] = bytes(30)
    index = IndexTable(server.put("/i.parquet", bytes(damaged)))
    with pytest.raises(CorruptFileError, match="cannot be read as parquet"):
        index.read(["path"], 2021)


def test_bounds(server, monkeypatch):
    _, content = make_index(by_year=True)
    url = server.put("/i.parquet", content)
    monkeypatch.setattr(_index_table, "_MAX_BYTES", 1000)
    with pytest.raises(LimitError, match="the bound is 1000"):
        IndexTable(url).read(["path"], 2021)
    monkeypatch.setattr(_index_table, "_MAX_ROWS", 1000)
    with pytest.raises(LimitError, match="80000 files, the bound is 1000"):
        IndexTable(server.put("/j.parquet", content)).read(["path"], 2021)


def test_an_absent_index_is_absent_and_a_forbidden_one_an_error(server):
    with pytest.raises(FileNotFoundError, match=r"i\.parquet"):
        _ = IndexTable(server.url("/i.parquet")).schema
    server.put("/i.parquet", make_index(by_year=True)[1])
    server.faults = [Fault("status", status=403, times=None)]
    with pytest.raises(DownloadError, match="403"):
        _ = IndexTable(server.url("/i.parquet")).schema
