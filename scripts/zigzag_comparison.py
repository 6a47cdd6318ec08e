"""The mapping search beside that of zigzag (KU Leuven, zigzag-dse 3.9.1): energy and time on the same machine.

``python scripts/zigzag_comparison.py --python zz/bin/python`` prints the table of docs/calibration.md; ``--update PAGE`` writes it into
the page. zigzag has a virtual environment of its own, since it asks for other versions of NumPy and pandas::

    python3 -m venv zz && zz/bin/pip install zigzag-dse==3.9.1

The machine is FP-FP with a place for partial sums: 16 x 16 elements, 4 products of each in a cycle, buffers of 1152 KiB (activations,
sums, results) and 1024 KiB (weights), HBM2. Weights have no scales, which zigzag does not know. Both programs take the energies of a bit
and of a product from the technology `paper-16nm`, and minimise energy. Results pass through the activation buffer in both.
"""

import argparse
import json
import os
import subprocess
import sys
import timeit
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

GEMMS = ("2048x4096x4096", "64x28672x8192", "2048x11008x4096", "512x4096x4096", "1x4096x4096")
REPEATS = 50
"""Searches of ours; the fastest counts, as in `timeit`."""
LIMIT_S = 1800
"""Longest time for zigzag's search of one GeMM, in seconds."""

ZIGZAG = r"""
import io, json, logging, sys, tempfile, time
from contextlib import redirect_stderr, redirect_stdout
import yaml
task = json.loads(sys.stdin.read())
from zigzag.api import get_hardware_performance_zigzag
logging.disable(logging.CRITICAL)
with tempfile.TemporaryDirectory() as folder:
    names = {}
    for name in ("workload", "accelerator", "mapping"):
        names[name] = f"{folder}/{name}.yaml"
        with open(names[name], "w") as file:
            yaml.safe_dump(task[name], file, sort_keys=False)
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        energy, _, runs = get_hardware_performance_zigzag(
            names["workload"], names["accelerator"], names["mapping"], opt="energy", dump_folder=folder,
            lpf_limit=task["lpf_limit"], loma_show_progress_bar=False,
        )
    seconds = time.perf_counter() - began
cost = runs[0][1][0][0] if isinstance(runs[0][1], list) else runs[0][0]
dram = sum(parts[-1] for parts in cost.mem_energy_breakdown.values())
print(json.dumps({"energy": energy, "dram": dram, "compute": cost.mac_energy, "seconds": seconds}))
"""
"""Program for zigzag's own interpreter."""


def memory(size: int, pj_per_bit: float, width: int, operands: dict[str, str], dims: list[str]) -> dict[str, Any]:
    """A memory in zigzag's terms; operands with the directions that its one port serves."""
    allocation = [f"{operand}, {way}" for operand, ways in operands.items() for way in ways.split()]
    port = {
        "name": "rw_port_1",
        "type": "read_write",
        "bandwidth_min": 8,
        "bandwidth_max": width,
        "allocation": allocation,
    }
    return {
        "size": size,
        "r_cost": pj_per_bit * width,
        "w_cost": pj_per_bit * width,
        "area": 0,
        "latency": 1,
        "operands": list(operands),
        "ports": [port],
        "served_dimensions": dims,
    }


def task(machine: Any, costs: Any, compute_pj: float, gemm: Any, lpf_limit: int) -> dict[str, Any]:
    """A GeMM on our machine as zigzag's inputs."""
    dims, array = ["D1", "D2", "D3"], machine.array
    products = 4  # of an element in a cycle: 64 in 16 cycles
    accumulator = memory(32, 0.0, 32, {"O": "fh fl tl th"}, ["D3"])
    accumulator["ports"] = [
        {
            "name": f"{way[0]}_port_{number}",
            "type": way,
            "bandwidth_min": 32,
            "bandwidth_max": 32,
            "allocation": [f"O, {to}"],
        }
        for number, way, to in ((1, "write", "fh"), (1, "read", "tl"), (2, "write", "fl"), (2, "read", "th"))
    ]
    sram, width = costs.sram.activation_read_pj_per_bit, machine.activation_buffer.port_bits
    both, outputs = "fh tl", "fh tl fl th"
    return {
        "lpf_limit": lpf_limit,
        "workload": [
            {
                "id": 0,
                "operator_type": "Gemm",
                "equation": "O[b][k]+=W[k][c]*I[b][c]",
                "loop_dims": ["B", "K", "C"],
                "loop_sizes": [gemm.tokens, gemm.out_channels, gemm.in_channels],
                "operand_precision": {"W": 4, "I": 16, "O": 32, "O_final": 16},
                "operand_source": {"I": 0, "W": 0},
            }
        ],
        "accelerator": {
            "name": "fp-fp",
            "memories": {
                "accumulators": accumulator,
                "activation_buffer": memory(
                    machine.activation_buffer.capacity_bytes * 8, sram, width, {"I1": both, "O": outputs}, dims
                ),
                "weight_buffer": memory(machine.weight_buffer.capacity_bytes * 8, sram, width, {"I2": both}, dims),
                "dram": memory(10**13, costs.dram_pj_per_bit, 1024, {"I1": both, "I2": both, "O": outputs}, dims),
            },
            "operational_array": {
                "unit_energy": compute_pj / (gemm.tokens * gemm.in_channels * gemm.out_channels),
                "unit_area": 1,
                "dimensions": dims,
                "sizes": [array.rows, array.columns, products],
            },
        },
        "mapping": [
            {
                "name": "default",
                "spatial_mapping": {
                    "D1": [f"B, {array.rows}"],
                    "D2": [f"K, {array.columns}"],
                    "D3": [f"C, {products}"],
                },
                "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
            }
        ],
    }


def zigzag(python: str, inputs: dict[str, Any]) -> dict[str, float]:
    """Energy in pJ and seconds of zigzag's search."""
    run = subprocess.run(
        [python, "-c", ZIGZAG], input=json.dumps(inputs), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if run.returncode:
        raise SystemExit(f"zigzag: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout)


def rows(python: str, lpf_limit: int, names: list[str]) -> Iterator[list[str]]:
    """GeMM, energies and times of both searches."""
    from anda_codesign.sim import Settings, load_architecture, load_technology, prepare
    from anda_codesign.sim.cost.gemm_cost import gemm_cost
    from anda_codesign.sim.cost.search import best_mapping
    from anda_codesign.sim.mapping.mapped_gemm import map_gemm
    from anda_codesign.workloads import Gemm, Precision

    os.environ["ANDA_KERNELS"] = "numba"  # as it is after the first hundred searches
    machine = load_architecture("fp-fp")
    weights = machine.weights.model_copy(update={"scale_bits": 0})
    setup = prepare(
        machine.model_copy(update={"weights": weights}),
        Settings(technology=load_technology(), partial_sums="buffer", idle="full"),
    )
    bits = setup.machine.precision(Precision.uniform(16))
    for text in names:
        gemm = Gemm.parse(text)
        shape = map_gemm(gemm, setup.machine, bits)
        found = best_mapping(shape, setup.costs, "energy")  # the compiled search is loaded by then
        seconds = min(timeit.repeat(partial(best_mapping, shape, setup.costs, "energy"), number=1, repeat=REPEATS))
        ours = gemm_cost(shape, found, setup.costs)
        theirs = zigzag(python, task(setup.machine, setup.costs, ours.energy_pj.compute, gemm, lpf_limit))
        energy = ours.energy_pj
        yield [
            text,
            str(found),
            *(f"{pj / 1e6:,.0f}" for pj in (energy.dram, theirs["dram"], energy.total, theirs["energy"])),
            f"{energy.total / theirs['energy']:.3f}",
            f"{1e3 * seconds:.2f}",
            f"{1e3 * theirs['seconds']:,.0f}",
            f"{theirs['seconds'] / seconds:,.0f}",
        ]


HEADER = [
    *(
        "GeMM",
        "mapping",
        "DRAM (uJ)",
        "zigzag",
        "total (uJ)",
        "zigzag",
        "ratio",
        "search (ms)",
        "zigzag (ms)",
        "times as fast",
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has zigzag")
    parser.add_argument(
        "--lpf-limit", type=int, default=6, help="zigzag's limit of loop prime factors; its default is 6"
    )
    parser.add_argument("--gemm", action="append", help="a GeMM in place of the built-in ones; may be repeated")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="write the table into this page")
    given = parser.parse_args()
    try:
        found = subprocess.run([given.python, "-c", "import zigzag"], capture_output=True, check=False).returncode == 0
    except OSError:
        found = False
    if not found:
        raise SystemExit(
            f"--python: {given.python} has no zigzag; run python3 -m venv zz && zz/bin/pip install zigzag-dse==3.9.1, "
            "and give --python zz/bin/python"
        )
    from anda_codesign.experiments.markdown import markdown_table, renew_page

    table = markdown_table(HEADER, rows(given.python, given.lpf_limit, given.gemm or list(GEMMS)))
    if given.update is None:
        print(table)
    else:
        renew_page(given.update, {"zigzag": lambda: table})


if __name__ == "__main__":
    main()
