"""`anda simulate`: cycles, bytes, energy and area of a model or a GeMM on one accelerator or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import machine_options as options
from .machine_options import Request
from .output import JsonOption, note, print_table, require_new_file, require_new_picture, write_json

if TYPE_CHECKING:
    from ...sim import ModelResult, SimulationResult

TimelineOption = Annotated[
    Path | None,
    typer.Option(
        "--timeline", metavar="FILE", help="At levels events and cycle: write what the units do, for Perfetto."
    ),
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw energy, cycles and roofline (.png, .svg, .pdf).")
]


def simulate(
    model: options.ModelOption = None,
    arch: options.ArchOption = "anda",
    precision: options.PrecisionOption = None,
    m: options.MOption = None,
    gemm: options.GemmOption = None,
    whole: options.WholeOption = False,
    tokens: options.TokensOption = 2048,
    context: options.ContextOption = 0,
    batch: options.BatchOption = 1,
    phase: options.PhaseOption = "prefill",
    level: options.LevelOption = "analytical",
    technology: options.TechnologyOption = "paper-16nm",
    objective: options.ObjectiveOption = "energy",
    tiling: options.TilingOption = "search",
    memory: options.MemoryOption = "flat",
    weights: options.WeightsOption = None,
    kv_cache: options.KvCacheOption = "fp16",
    vector_unit: options.VectorUnitOption = "fp16",
    midpoint: options.MidpointOption = False,
    group_cycles: options.GroupCyclesOption = None,
    timeline: TimelineOption = None,
    plot: PlotOption = None,
    json: JsonOption = None,
) -> None:
    """Simulate a model's FP-INT GeMMs, a whole model, or one GeMM; with several architectures, side by side."""
    request = Request.of(
        model, gemm, arch, precision, m, whole=whole, tokens=tokens, context=context, batch=batch, phase=phase,
        level=level, technology=technology, objective=objective, tiling=tiling, memory=memory, weights=weights,
        kv_cache=kv_cache, vector_unit=vector_unit, midpoint=midpoint, group_cycles=group_cycles,
    )  # fmt: skip
    _check_files(request, timeline, plot)
    results = _run(request, timeline)
    if plot is not None:
        from ...sim.output.plots import overview_figure

        overview_figure(results).savefig(plot, dpi=160)
        note(f"wrote {plot}")
    records = [request.record(result) for result in results]
    if json is not None:
        write_json(records if len(records) > 1 else records[0], json)
    elif len(records) > 1:
        _print_comparison(records)
    else:
        _print_record(records[0])


def _check_files(request: Request, timeline: Path | None, plot: Path | None) -> None:
    from ...formats import InputError

    require_new_file("timeline", timeline)
    require_new_picture("plot", plot)
    if timeline is not None and len(request.archs) > 1:
        raise InputError("timeline: shows one architecture; give one --arch")


def _run(request: Request, timeline: Path | None) -> "list[SimulationResult | ModelResult]":
    from ...sim import Timeline
    from ..simulation import fixed_precision, load_architecture

    results: list[SimulationResult | ModelResult] = []
    for name in request.archs:
        trace = None if timeline is None else Timeline(load_architecture(name).clock_hz)
        results.append(request.run(name, trace))
        if request.precision is not None and fixed_precision(name):
            note(f"precision: {name} has its own width; the one given does not apply")
        if trace is not None and timeline is not None:
            trace.write(timeline)
            note(f"wrote {timeline}; open it at https://ui.perfetto.dev")
    return results


def _print_comparison(records: list[dict[str, Any]]) -> None:
    first = records[0]
    rows = [
        (
            r["arch"],
            ",".join(map(str, r["precision"])),
            f"{r['cycles']:,}",
            f"{r['seconds']:.4g}",
            f"{first['cycles'] / r['cycles']:.2f}",
            f"{r['energy_pj']['total'] / 1e9:,.1f}",
            f"{first['energy_pj']['total'] / r['energy_pj']['total']:.2f}",
            f"{r['dram_bytes'] / 2**20:,.1f}",
            f"{r['area_mm2']:.3f}",
        )
        for r in records
    ]
    columns = ("arch", "mantissa bits", "cycles", "s", "speedup", "mJ", "energy gain", "DRAM MiB", "mm²")
    print_table(f"{_title(first)}; speedup and energy gain over {first['arch']}", columns, rows)
    _print_limits(records)


def _title(record: dict[str, Any]) -> str:
    work = record["model"] or record["gemm"]
    whole = "all of " if "parts" in record else ""
    return f"{whole}{work}, {record['tokens']} tokens, level {record['level']}, {record['technology']}"


def _print_record(record: dict[str, Any]) -> None:
    work = record["model"] or record["gemm"]
    bits = ",".join(map(str, record["precision"])) if record["model"] else record["gemms"][0]["mantissa_bits"]
    energy = record["energy_pj"]
    rows = [
        ("cycles", f"{record['cycles']:,}"),
        ("time", f"{record['seconds']:.4g} s"),
        ("MACs", f"{record['macs']:,}"),
        ("BOPs saving over FP16-INT4", f"{record['bops_saving']:.2f} x"),
        ("DRAM", f"{record['dram_bytes'] / 2**20:,.1f} MiB"),
        ("SRAM", f"{record['sram_bytes'] / 2**20:,.1f} MiB"),
        *((f"energy, {part}", f"{energy[part] / 1e9:,.3f} mJ") for part in ("compute", "sram", "dram", "total")),
        ("area", f"{record['area_mm2']:.3f} mm²"),
    ]
    if "fp_int_share" in record:
        rows.insert(3, ("FP-INT GeMMs' share of the MACs", f"{100 * record['fp_int_share']:.1f} %"))
    title = f"{work} on {record['arch']}, mantissa bits {bits}, {record['tokens']} tokens, level {record['level']}"
    print_table(title, ("", record["technology"]), rows)
    _print_gemms(record["gemms"])
    if "parts" in record:
        _print_parts(record["parts"], record["cycles"])
    _print_limits([record])


def _print_gemms(gemms: list[dict[str, Any]]) -> None:
    columns = ["module", "tokens", "in", "out", "repeat", "M", "cycles each", "tiling"]
    keys = ["module", "tokens", "in_channels", "out_channels", "repeat", "mantissa_bits"]
    rows = [[*(g[key] for key in keys), f"{g['cycles']:,}", g["tiling"]] for g in gemms]
    if "dram_utilisation" in gemms[0]:
        columns += ["DRAM busy", "row hits"]
        for row, g in zip(rows, gemms, strict=True):
            hits = g["row_hit_rate"]
            row += [f"{100 * g['dram_utilisation']:.1f} %", "" if hits is None else f"{100 * hits:.1f} %"]
    print_table("GeMMs", columns, rows)


def _print_parts(parts: list[dict[str, Any]], cycles: int) -> None:
    rows = [
        (
            p["name"],
            p["kind"],
            f"{p['operations']:,}",
            f"{p['cycles']:,}",
            f"{100 * p['cycles'] / cycles:.1f} %",
            f"{p['dram_bytes'] / 2**20:,.1f}",
            f"{p['energy_pj']['total'] / 1e9:,.3f}",
        )
        for p in parts
    ]
    print_table("Parts of the model", ("part", "kind", "operations", "cycles", "share", "DRAM MiB", "mJ"), rows)


def _print_limits(records: list[dict[str, Any]]) -> None:
    for line in dict.fromkeys(line for record in records for line in record["notes"]):
        note(line)
    limits = dict.fromkeys(line for record in records for line in record["not_modelled"])
    print("Not modelled: " + "; ".join(limits) + ".")
