"""Reading a Liberty file: ours, and liberty-parser from the package index where it is installed.

ANDA_LIBERTY_FILE names the file, such as the 22 MB of ASAP7's AO cells; OSU 0.18 um without it.
"""

import os
from pathlib import Path

import pytest
from anda_codesign.rtl.synthesis.liberty import read_liberty
from anda_codesign.rtl.synthesis.report import OSU018
from pytest_benchmark.fixture import BenchmarkFixture

FILE = Path(os.environ.get("ANDA_LIBERTY_FILE", OSU018))

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"{FILE} is not there")


def read_all() -> int:
    file = read_liberty(FILE)
    return len([file.cell(name) for name in file.cell_names])


def test_every_cell(benchmark: BenchmarkFixture) -> None:
    assert benchmark(read_all) > 0


def test_liberty_parser(benchmark: BenchmarkFixture) -> None:
    parser = pytest.importorskip("liberty.parser")
    text = FILE.read_text("utf-8")
    library = benchmark.pedantic(parser.parse_liberty, args=(text,), rounds=3)
    assert len(library.get_groups("cell")) == read_all()
