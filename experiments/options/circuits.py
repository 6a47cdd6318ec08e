"""Options of `run_accelerator`, `accelerator_cycles`, `check_circuits`, `synthesize`, `export_verilog` and `lint`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from .option import Option
from .parse import assignments, integers, numbers, words

if TYPE_CHECKING:
    from ...formats.options import Shortening
    from ...rtl.export.files import Language
    from ...rtl.simulation.simulate import SimulatorName
    from ...rtl.verilog.emit import Memories
    from ...workloads import Trace


Widths: TypeAlias = Annotated[
    int | Sequence[int],
    Option("Mantissa widths to run.", unit="bits", metavar="M,M,…", parse=partial(integers, "4,7,11")),
]


Simulator: TypeAlias = Annotated[
    "SimulatorName | None", Option("amaranth, cxxrtl or verilator; by default cxxrtl if it is installed.")
]


@dataclass(frozen=True, kw_only=True)
class CycleOptions:
    """Options of `accelerator_cycles`."""

    simulator: Simulator = None


@dataclass(frozen=True, kw_only=True)
class AcceleratorOptions:
    """Options of `run_accelerator`."""

    m: Annotated[int, Option("Mantissa bits of the activations.", unit="bits")] = 7
    tokens: Annotated[int, Option("Tokens of the GeMM.", unit="tokens")] = 32
    k: Annotated[int, Option("Input channels of the GeMM.", unit="channels")] = 256
    n: Annotated[int, Option("Output channels of the GeMM.", unit="channels")] = 64
    trace: Annotated[
        "str | Path | Trace | None", Option("A captured trace; random data without it.", metavar="FILE|DIR")
    ] = None
    layer: Annotated[int | None, Option("A captured layer; by default the first.")] = None
    module: Annotated[str, Option("Module of the model: qkv, o, u or d.")] = "qkv"
    result_m: Annotated[
        int | None, Option("Mantissa bits of compressed outputs; FP16 outputs without it.", unit="bits")
    ] = None
    seed: Annotated[int, Option("Seed of the random data.")] = 0
    rows: Annotated[int, Option("Rows of the array; each computes a token.")] = 4
    columns: Annotated[int, Option("Columns of the array; each computes an output channel.")] = 4
    latency: Annotated[int, Option("Latency of the memory.", unit="cycles")] = 16
    reconstruct: Annotated[
        "Shortening", Option("Value of a cut mantissa: truncate, midpoint or nearest.", metavar="R")
    ] = "truncate"
    skip_zero_planes: Annotated[bool, Option("Skip bit-planes that are zero in a whole block of tokens.")] = False
    simulator: Simulator = None


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options of `check_circuits`."""

    trace: Annotated["str | Path | Trace", Option("A captured trace.", metavar="FILE")]
    m: Widths = (4, 7, 11)
    layer: Annotated[int, Option("A captured layer.")] = 0
    tokens: Annotated[int, Option("Tokens of the slice.", unit="tokens")] = 1
    outputs: Annotated[int, Option("Output channels of the slice.", unit="channels")] = 1
    vcd: Annotated[
        str | Path | None, Option("A new file for the waveform of the processing element's last run.", metavar="FILE")
    ] = None


Design: TypeAlias = Annotated[str, Option("A circuit; an unknown name lists all circuits.", argument=True)]


Parameters: TypeAlias = Annotated[
    "Mapping[str, Any] | None",
    Option(
        "A parameter of the circuit.",
        metavar="NAME=VALUE",
        repeat=True,
        parse=partial(assignments, "lanes=64"),
    ),
]


@dataclass(frozen=True, kw_only=True)
class LintOptions:
    """Options of `lint`."""

    design: Design = "anda-pe"
    parameter: Parameters = None


@dataclass(frozen=True, kw_only=True)
class VerilogOptions(LintOptions):
    """Options of `export_verilog`."""

    memories: Annotated[
        "Memories",
        Option("Memories that tools infer RAMs from, or blackbox: ports for RAM macros.", metavar="inferred|blackbox"),
    ] = "inferred"
    language: Annotated["Language", Option("Verilog, or SystemVerilog with a package of structs.", metavar="v|sv")] = (
        "v"
    )
    out: Annotated[
        str | Path | None,
        Option(
            "A new file, such as pe.v, or a new folder for circuit, testbenches and constraints; stdout without it.",
            metavar="FILE|FOLDER",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """Options of `synthesize`."""

    design: Annotated[
        str,
        Option(
            "A circuit; an unknown name lists all circuits. module:Class is an element of your own, such as my_pe:MyPE of "
            "my_pe.py.",
            argument=True,
        ),
    ] = "anda-pe"
    liberty: Annotated[
        "str | Path | Sequence[str | Path] | None",
        Option(
            "Liberty files or a folder of them; OSU 0.18 um without this option.",
            metavar="FILE|FOLDER",
            repeat=True,
        ),
    ] = None
    clock_ps: Annotated[
        float | Sequence[float] | None,
        Option(
            "Clock periods to aim at; 3508 (285 MHz) without this option, or longer if the circuit needs it.",
            unit="ps",
            metavar="PS,…",
            parse=partial(numbers, "3508,2000"),
        ),
    ] = None
    m: Widths = (*range(4, 14),)
    parameter: Parameters = None
    trace: Annotated[
        "str | Path | None", Option("A captured trace; the built-in model's without this option.", metavar="FILE")
    ] = None
    allowance: Annotated[
        str | Sequence[str],
        Option("Published allowances to add, such as that for wires.", metavar="NAME,…", parse=words),
    ] = ()
    all_designs: Annotated[
        bool, Option("Synthesise every circuit; a repeated run continues where it was stopped.", flag="--all")
    ] = False
    slower: Annotated[
        bool, Option("Accept a circuit that misses the clock; figures are at the period that it needs.")
    ] = False
    workers: Annotated[int, Option("Processes that work in parallel.", metavar="N")] = 1
    saif: Annotated[str | Path | None, Option("A new file for the switching activity of a run.", metavar="FILE")] = None
    run: Annotated[str | None, Option("The run of --saif, such as M=7, of a circuit with several.", metavar="NAME")] = (
        None
    )
    netlist: Annotated[str | Path | None, Option("A new file for the gates as Verilog.", metavar="FILE")] = None
    out: Annotated[
        str | Path | None,
        Option(
            "A folder for YAML and Parquet files; of an element of your own a YAML file for architectures.",
            metavar="FOLDER|FILE",
        ),
    ] = None
    on_note: Annotated[
        "Callable[[str], None] | None",
        Option("Called with a message for each missed clock and each written file.", on_command_line=False),
    ] = None
