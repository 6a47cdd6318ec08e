"""The HBM2 model against its timing diagram, worked out by hand and checked command by command."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.sim import simulate
from anda_codesign.sim.memory.dram import Request, Served
from anda_codesign.sim.memory.hbm import Bank, HbmDram, load_memory, memory_names
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given, settings
from hypothesis import strategies as st

HBM2 = load_memory("hbm2")
BYTES_PER_NS = HBM2.channels * HBM2.burst_bytes / HBM2.burst_ns
GIGAHERTZ = 1e9
"""With this clock a cycle is a nanosecond."""
ROW = 8 * 1024 * 8
BURST = 8 * 64 * 8
"""Rows and bursts of all eight channels, which run in lockstep."""
BUSY = 1 - 260 / 3900
"""Share of the bus that refreshes leave; a burst of 2 ns takes that much longer."""
BURST_NS = 2 / BUSY


def dram() -> HbmDram:
    return HbmDram(HBM2, GIGAHERTZ)


def read(offset: int, bits: int = BURST) -> Request:
    return Request("weights", offset, bits)


def write(offset: int, bits: int = BURST) -> Request:
    return Request("results", offset, bits)


def test_organisation():
    assert memory_names() == ["ddr5", "hbm2", "lpddr5"]
    assert BYTES_PER_NS == 256
    assert (HBM2.burst_bytes, HBM2.burst_ns) == (64, 2)


def test_first_read_activates_then_waits_for_its_column():
    served = dram().serve(100, read(0))
    assert served == (100 + 14 + 14, math.ceil(100 + 14 + 14 + BURST_NS))


def test_open_row_needs_only_the_column():
    memory = dram()
    memory.serve(0, read(0))
    assert memory.serve(200, read(BURST)) == (200 + 14, math.ceil(200 + 14 + BURST_NS))


def test_bursts_of_a_row_follow_each_other():
    assert dram().serve(0, read(0, ROW)).stop == math.ceil(14 + 14 + 16 * BURST_NS)


def test_channels_share_a_burst():
    """A part of it takes as long as all of it."""
    assert dram().serve(0, read(0, 8)) == dram().serve(0, read(0, BURST))


def test_another_bank_opens_while_the_first_transfers():
    memory = dram()
    memory.serve(0, read(0, ROW))
    assert memory.serve(0, read(ROW, ROW)).stop == math.ceil(14 + 14 + 32 * BURST_NS)


def test_another_row_of_the_bank_waits_for_precharge():
    """Activate at 0, so precharge not before tRAS = 34; then tRP, tRCD and CL."""
    memory = dram()
    memory.serve(0, read(0))
    assert memory.serve(0, read(16 * ROW)).start == 34 + 14 + 14 + 14


def test_a_written_row_closes_after_write_recovery():
    """The data ends at 14 + 4 + a burst, tWR later it may close."""
    memory = dram()
    memory.serve(0, write(0))
    assert memory.serve(0, write(16 * ROW)).start == math.ceil(max(34, 18 + BURST_NS + 16) + 14 + 14 + 4)


def test_turnaround():
    memory = dram()
    assert memory.serve(0, read(0)).start == 28
    assert memory.serve(0, write(ROW)).start == math.ceil(28 + BURST_NS + 2)
    assert memory.serve(0, read(BURST)).start == math.ceil(30 + 2 * BURST_NS + 8 + 14)


def test_refresh_takes_its_share_of_a_busy_bus():
    """And none of an idle one, which does it meanwhile."""
    memory = dram()
    bursts = 16 * 1000
    busy = memory.serve(0, read(0, bursts * BURST)).stop
    assert busy == pytest.approx(28 + bursts * 2 / BUSY, abs=1)
    assert memory.serve(busy + 100_000, read(0)).start == busy + 100_000 + 14 + 14 + 14


def test_whoever_asks_earlier_or_for_less_never_waits_longer():
    """Times follow from what was asked before alone; refreshes at fixed times would break this."""
    for gap in range(0, 5000, 7):
        early, late, less = dram(), dram(), dram()
        for memory, first, bits in ((early, gap, ROW), (late, gap + 3, ROW), (less, gap, ROW // 2)):
            memory.serve(first, read(0, bits))
        stops = [memory.serve(gap + 10, read(ROW, ROW)).stop for memory in (less, early, late)]
        assert stops == sorted(stops)


def test_a_stream_comes_near_the_peak():
    """Refresh, and parts of bursts at the ends of requests, take the rest."""
    memory = dram()
    stop = 0
    for index in range(500):
        stop = memory.serve(0, read(index * 100_000, 100_000)).stop
    report = memory.report()
    assert report.row_hit_rate == pytest.approx(15 / 16, abs=0.01)
    assert 0.98 * BUSY < report.utilisation(stop) < BUSY


def test_scattered_bursts_are_slow():
    """Rows of one bank, one burst each: a row cycle of tRAS + tRP for a burst."""
    memory = dram()
    stop = 0
    for index in range(100):
        stop = memory.serve(0, read(index * 16 * ROW)).stop
    assert memory.report().row_hit_rate == 0
    assert stop >= 99 * (34 + 14)


class Logged(HbmDram):
    """Writes down the commands that it gives."""

    def __init__(self) -> None:
        super().__init__(HBM2, GIGAHERTZ)
        self.opened: list[tuple[int, float]] = []

    def _open(self, bank: Bank, row: int, at: float) -> None:
        super()._open(bank, row, at)
        which = next(i for i, other in enumerate(self.banks) if other is bank)
        self.opened.append((which, at))


requests = st.lists(
    st.builds(
        lambda tensor, offset, bits, gap: (Request(tensor, offset, bits), gap),
        st.sampled_from(["weights", "results"]),
        st.integers(0, 10**8),
        st.integers(1, 900_000),
        st.sampled_from([0, 0, 0, 7, 300, 5000]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(requests)
def test_no_command_comes_too_early(requests: list[tuple[Request, int]]):
    memory, now, bits = Logged(), 0, 0
    transfers: list[Served] = []
    for request, gap in requests:
        now += gap
        bits += request.bits
        served = memory.serve(now, request)
        transfers.append(served)
        assert now <= served.start < served.stop
        assert served.stop - now >= request.bits / 8 / BYTES_PER_NS
    times = [at for _, at in memory.opened]
    assert all(b - a >= 4 - 1e-9 for a, b in pairwise(times)), "tRRD"
    assert all(b - a >= 30 - 1e-9 for a, b in zip(times, times[4:], strict=False)), "tFAW"
    last: dict[int, float] = {}
    for bank, at in memory.opened:
        assert at - last.get(bank, -math.inf) >= 34 + 14 - 1e-9, "tRC"
        last[bank] = at
    assert all(b.start >= a.stop - 1 for a, b in pairwise(transfers)), "one bus"
    report = memory.report()
    assert report.bits == bits
    assert report.row_hits is not None
    assert report.row_misses is not None
    assert report.row_hits + report.row_misses >= bits / (64 * 8)


@settings(max_examples=60)
@given(requests)
def test_rows_of_a_stream_take_as_long_as_row_by_row(requests: list[tuple[Request, int]]):
    quick, slow, now = dram(), dram(), 0
    assert quick.streams
    slow.streams = False
    for request, gap in requests:
        now += gap
        assert quick.serve(now, request) == slow.serve(now, request)
    assert quick.report() == slow.report()


def test_a_simulation_reports_rows_and_utilisation():
    work = [Gemm("u", 64, 1024, 1024)]
    flat, rows = (simulate(work, "anda", Precision.uniform(6), "events", memory=m) for m in ("flat", "hbm2"))
    assert rows.cycles > flat.cycles
    assert rows.dram_bytes == flat.dram_bytes
    report = rows.runs[0].report
    assert report is not None
    assert report.dram.row_hit_rate is not None
    assert 0.8 < report.dram.row_hit_rate < 1
    assert 0 < report.dram.utilisation(report.cycles) < 1


def test_rows_need_the_event_model():
    with pytest.raises(InputError, match=r"^memory: 'hbm2' needs level events"):
        simulate([Gemm("u", 1, 64, 64)], "anda", Precision.uniform(6), memory="hbm2")


def test_unknown_memory(tmp_path: Path):
    with pytest.raises(InputError, match=r"^memory: 'ddr9' is unknown; .*hbm2"):
        load_memory("ddr9")
    source = Path(__file__).parents[3] / "sim" / "memory" / "hbm2.yaml"
    data = yaml.safe_load(source.read_text())
    data["timing"]["tRCD"]["unit"] = "cycle"
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match=r"^memory mine.yaml: timing.tRCD: unit is 'cycle'; .*ns"):
        load_memory(mine)


def test_refreshes_leave_time_for_data(tmp_path: Path):
    source = Path(__file__).parents[3] / "sim" / "memory" / "hbm2.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text(source.read_text().replace("tREFI: {value: 3900", "tREFI: {value: 200"))
    with pytest.raises(InputError, match=r"^memory mine.yaml: timing: tREFI is 200 ns; .*tRFC, 260 ns"):
        load_memory(mine)
