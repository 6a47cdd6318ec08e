"""Reading a Liberty file of 20 MB: ours, and liberty-parser from the package index where it is installed.

The cells of OSU 0.18 um, again and again under new names; or the file that the environment variable ANDA_LIBERTY_FILE
names, such as ASAP7's AO cells, plain or gzip.
"""

import gzip
import os
from pathlib import Path

import pytest
from anda_codesign.rtl.synthesis.liberty.reader import read_liberty
from anda_codesign.rtl.synthesis.report import OSU018
from pytest_benchmark.fixture import BenchmarkFixture

BYTES = 20_000_000

pytestmark = [
    pytest.mark.skipif(not OSU018.is_file(), reason=f"{OSU018} is not there"),
    pytest.mark.benchmark(group="Liberty file of 20 MB, one core"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("liberty") / "large.lib"
    if "ANDA_LIBERTY_FILE" in os.environ:
        data = Path(os.environ["ANDA_LIBERTY_FILE"]).read_bytes()
        path.write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        return path
    head, *cells = OSU018.read_text("utf-8").rstrip().removesuffix("}").split("\ncell (")
    copies = -(-BYTES // sum(map(len, cells)))
    parts = [head, *(f"C{copy}{cell}" for copy in range(copies) for cell in cells)]
    path.write_text("\ncell (".join(parts) + "\n}\n", "utf-8")
    return path


def record(benchmark: BenchmarkFixture, file: Path, *, baseline: bool = False) -> None:
    """Extra fields of a benchmark for the table of docs/performance.md."""
    benchmark.extra_info.update(work=file.stat().st_size / 1e6, unit="MB/s", baseline=baseline)


def read_all(file: Path) -> int:
    found = read_liberty(file)
    return len([found.cell(name) for name in found.cell_names])


def test_every_cell(benchmark: BenchmarkFixture, file: Path) -> None:
    record(benchmark, file)
    assert file.stat().st_size >= BYTES
    assert benchmark.pedantic(read_all, args=(file,), rounds=3) > 10


def test_the_names_alone(benchmark: BenchmarkFixture, file: Path) -> None:
    """Time of a library without any cell that is used: only the names are read."""
    record(benchmark, file)
    assert benchmark.pedantic(lambda: len(read_liberty(file).cell_names), rounds=3) > 10


def test_liberty_parser(benchmark: BenchmarkFixture, file: Path) -> None:
    parser = pytest.importorskip("liberty.parser")
    record(benchmark, file, baseline=True)
    text = file.read_text("utf-8")
    library = benchmark.pedantic(parser.parse_liberty, args=(text,), rounds=1)
    assert len(library.get_groups("cell")) == read_all(file)
