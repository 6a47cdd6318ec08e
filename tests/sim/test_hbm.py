"""The HBM2 model against its timing diagram, worked out by hand and checked command by command."""

import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.sim import simulate
from anda_codesign.sim.dram import Request
from anda_codesign.sim.hbm import Bank, Channel, HbmDram, load_memory, memory_names
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given, settings
from hypothesis import strategies as st

HBM2 = load_memory("hbm2")
GIGAHERTZ = 1e9
"""With this clock a cycle is a nanosecond."""
ROW = 1024 * 8
BURST = 64 * 8
STRIPE = 8 * ROW
"""One row of one bank in all channels."""


def dram() -> HbmDram:
    return HbmDram(HBM2, GIGAHERTZ, {"weights": 10**9, "results": 10**9})


def read(offset: int, bits: int = BURST) -> Request:
    return Request("weights", offset, bits)


def write(offset: int, bits: int = BURST) -> Request:
    return Request("results", offset, bits)


def test_organisation():
    assert memory_names() == ["hbm2"]
    assert HBM2.bytes_per_ns == 256
    assert (HBM2.burst_bytes, HBM2.burst_ns) == (64, 2)


def test_first_read_activates_then_waits_for_its_column():
    served = dram().serve(100, read(0))
    assert served == (100 + 14 + 14, 100 + 14 + 14 + 2)


def test_open_row_needs_only_the_column():
    memory = dram()
    memory.serve(0, read(0))
    assert memory.serve(200, read(BURST)) == (200 + 14, 200 + 14 + 2)


def test_bursts_of_a_row_follow_each_other():
    assert dram().serve(0, read(0, ROW)).stop == 14 + 14 + 16 * 2


def test_channels_work_side_by_side():
    assert dram().serve(0, read(0, STRIPE)).stop == 14 + 14 + 16 * 2


def test_another_bank_opens_while_the_first_transfers():
    memory = dram()
    memory.serve(0, read(0, ROW))
    assert memory.serve(0, read(STRIPE, ROW)) == (60, 92)


def test_another_row_of_the_bank_waits_for_precharge():
    """Activate at 0, so precharge not before tRAS = 34; then tRP, tRCD and CL."""
    memory = dram()
    memory.serve(0, read(0))
    assert memory.serve(0, read(16 * STRIPE)).start == 34 + 14 + 14 + 14


def test_a_written_row_closes_after_write_recovery():
    """The data ends at 14 + 4 + 2 = 20, tWR later it may close."""
    memory = dram()
    memory.serve(0, write(0))
    assert memory.serve(0, write(16 * STRIPE)).start == max(34, 20 + 16) + 14 + 14 + 4


def test_turnaround():
    memory = dram()
    assert memory.serve(0, read(0)).stop == 30
    assert memory.serve(0, write(STRIPE)).start == 30 + 2
    assert memory.serve(0, read(BURST)).start == 34 + 8 + 14


def test_refresh_closes_all_rows():
    memory = dram()
    memory.serve(3890, read(0))
    late = memory.serve(3900, read(BURST))
    closed = max(3890 + 34, 3890 + 30) + 14
    assert late.start == closed + 260 + 14 + 14
    assert memory.report().row_misses == 2


def test_refreshes_of_idle_times_are_past():
    memory = dram()
    served = memory.serve(10 * 3900 + 500, read(0))
    assert served.start == 10 * 3900 + 500 + 14 + 14


def test_a_stream_comes_near_the_peak():
    """What is missing is refresh, 260 of 3900 ns, and opening the rows after it."""
    memory = dram()
    stop = 0
    for index in range(500):
        stop = memory.serve(0, read(index * 100_000, 100_000)).stop
    report = memory.report()
    assert report.row_hit_rate == pytest.approx(15 / 16, abs=0.01)
    assert 0.98 * (1 - 260 / 3900) < report.utilisation(stop) < 1 - 260 / 3900


def test_scattered_bursts_are_slow():
    """Rows of one bank of one channel, one burst each: a row cycle of tRAS + tRP for 64 B."""
    memory = dram()
    stop = 0
    for index in range(100):
        stop = memory.serve(0, read(index * 16 * STRIPE)).stop
    assert memory.report().row_hit_rate == 0
    assert stop >= 99 * (34 + 14)


class Logged(HbmDram):
    """Writes down the commands that it gives."""

    def __init__(self) -> None:
        super().__init__(HBM2, GIGAHERTZ, {"weights": 10**9, "results": 10**9})
        self.activations: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self.transfers: dict[int, list[tuple[float, float]]] = defaultdict(list)

    def _activate(self, channel: Channel, bank: Bank, row: int, asked: float) -> None:
        super()._activate(channel, bank, row, asked)
        index = next(i for i, other in enumerate(self.channels) if other is channel)
        which = next(i for i, other in enumerate(channel.banks) if other is bank)
        self.activations[index].append((which, channel.activations[-1]))

    def _serve_row(self, channel_index: int, index: int, bursts: int, write: bool, asked: float) -> tuple[float, float]:
        span = super()._serve_row(channel_index, index, bursts, write, asked)
        self.transfers[channel_index].append(span)
        return span


requests = st.lists(
    st.builds(
        lambda tensor, offset, bits, gap: (Request(tensor, offset, bits), gap),
        st.sampled_from(["weights", "results"]),
        st.integers(0, 10**8),
        st.integers(1, 300_000),
        st.sampled_from([0, 0, 0, 7, 300, 5000]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(requests)
def test_no_command_comes_too_early(requests: list[tuple[Request, int]]):
    memory, now, bits = Logged(), 0, 0
    for request, gap in requests:
        now += gap
        bits += request.bits
        served = memory.serve(now, request)
        assert now <= served.start < served.stop
        assert served.stop - now >= request.bits / 8 / HBM2.bytes_per_ns
    for activations in memory.activations.values():
        times = [at for _, at in activations]
        assert all(b - a >= 4 for a, b in pairwise(times)), "tRRD"
        assert all(b - a >= 30 for a, b in zip(times, times[4:], strict=False)), "tFAW"
        last: dict[int, float] = {}
        for bank, at in activations:
            assert at - last.get(bank, -math.inf) >= 34 + 14, "tRC"
            last[bank] = at
    for transfers in memory.transfers.values():
        assert all(b[0] >= a[1] for a, b in pairwise(transfers)), "one bus"
    report = memory.report()
    assert report.bits == bits
    assert report.row_hits is not None
    assert report.row_misses is not None
    assert report.row_hits + report.row_misses >= bits / BURST


def test_a_simulation_reports_rows_and_utilisation():
    work = [Gemm("u", 64, 1024, 1024)]
    flat, rows = (simulate(work, "anda", Precision.uniform(6), "events", memory=m) for m in ("flat", "hbm2"))
    assert rows.cycles > flat.cycles
    assert rows.dram_bytes == flat.dram_bytes
    report = rows.runs[0].report
    assert report is not None
    assert report.dram.row_hit_rate is not None
    assert 0.9 < report.dram.row_hit_rate < 1
    assert 0 < report.dram.utilisation(report.cycles) < 1


def test_rows_need_the_event_model():
    with pytest.raises(InputError) as caught:
        simulate([Gemm("u", 1, 64, 64)], "anda", Precision.uniform(6), memory="hbm2")
    assert str(caught.value) == "memory: 'hbm2' needs level events; use flat with level closed"


def test_unknown_memory(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        load_memory("ddr9")
    assert str(caught.value) == "memory: 'ddr9' is unknown; choose one of hbm2 or give a path to a YAML file"
    source = Path(__file__).parents[2] / "sim" / "memory" / "hbm2.yaml"
    data = yaml.safe_load(source.read_text())
    data["timing"]["tRCD"]["unit"] = "cycle"
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError) as caught:
        load_memory(mine)
    assert str(caught.value) == "memory mine.yaml: timing.tRCD: unit is 'cycle'; give the value in ns"
