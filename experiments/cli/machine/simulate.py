"""`anda simulate`: cycles, bytes, energy and area of a model or a GeMM on one accelerator or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ... import amounts
from ...files import require_new_file
from ...options.simulation import ExplainOptions, TimelineFile
from ..command import Given, command
from ..output import JsonOption, note, plot_option, print_lines, print_table, write_figure, write_json
from .inference import precision_text, print_inference
from .work import UniformOption, architectures, simulation_options, with_cache

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...simulation import Simulation

PlotOption = Annotated[Path | None, plot_option("energy, cycles and roofline")]


@command(ExplainOptions, plugins=True)
def simulate(
    given: Given,
    *,
    m: UniformOption = None,
    timeline: TimelineFile = None,
    plot: PlotOption = None,
    json: JsonOption = None,
) -> None:
    """Simulate a model's FP-INT GeMMs, a whole model, a whole inference, or one GeMM; several architectures, separated by commas, side by side."""
    from ....formats import InputError
    from ...options.result import Table

    options = simulation_options(given, m)
    asked = architectures(options.pop("arch"))
    archs = with_cache(asked, options.get("kv_cache"))
    require_new_file("timeline", timeline)
    if timeline is not None and len(archs) > 1:
        raise InputError("timeline: shows one architecture; give one --arch")
    results = [_run(options | {"arch": arch}, timeline) for arch in archs]
    write_figure(lambda: _overview(results), plot, dpi=160)
    records = [result.to_dict() for result in results]
    if write_json(Table(records) if len(asked) > 1 else results[0], json):
        return
    if "prompt" in records[0]:
        print_inference(records)
        _print_limits(records)
    elif len(records) > 1:
        _print_comparison(records)
    else:
        _print_record(records[0])


def _overview(results: "list[Simulation]") -> "Figure":
    from ....sim.output.plots import overview_figure

    return overview_figure([result.total for result in results])


def _run(options: Given, timeline: str | Path | None) -> "Simulation":
    from ...simulation import simulate, simulate_gemm

    result = (simulate if "model" in options else simulate_gemm)(**options, timeline=timeline)
    asked = result.fp_int.machine.takes_precision
    if options["precision"] is None and asked:
        note(f"precision: none is given; {options['arch']} takes its default, {result.fp_int.precision}")
    if options["precision"] is not None and not asked:
        owner = options["activations"] or options["arch"]
        note(f"precision: {owner} has its own width; the one given does not apply")
    if timeline is not None:
        note(f"wrote {timeline}; open it at https://ui.perfetto.dev")
    return result


def _print_comparison(records: list[dict[str, Any]]) -> None:
    first = records[0]
    rows = [
        (
            r["arch"],
            precision_text(r["precision"]),
            f"{r['cycles']:,}",
            amounts.seconds(r["seconds"]),
            f"{first['cycles'] / r['cycles']:.2f}",
            amounts.energy(r["energy_pj"]["total"]),
            f"{first['energy_pj']['total'] / r['energy_pj']['total']:.2f}",
            amounts.size(r["dram_bytes"]),
            amounts.area(r["area_mm2"]),
        )
        for r in records
    ]
    columns = ("arch", "mantissa bits", "cycles", "time", "speedup", "energy", "energy gain", "DRAM", "mm²")
    print_table(f"{_title(first)}; speedup and energy gain over {first['arch']}", columns, rows)
    _print_limits(records)


def _title(record: dict[str, Any]) -> str:
    work = record["model"] or record["gemm"]
    whole = "all of " if "parts" in record else ""
    return f"{whole}{work}, {record['tokens']} tokens, level {record['level']}, {record['technology']}"


def _print_record(record: dict[str, Any]) -> None:
    work = record["model"] or record["gemm"]
    bits = precision_text(record["precision"]) if record["model"] else record["gemms"][0]["mantissa_bits"]
    energy = record["energy_pj"]
    rows = [
        ("cycles", f"{record['cycles']:,}"),
        ("time", amounts.seconds(record["seconds"])),
        ("MACs", f"{record['macs']:,}"),
        ("BOPs saving over FP16-INT4", f"{record['bops_saving']:.2f} x"),
        ("DRAM", amounts.size(record["dram_bytes"])),
        ("SRAM", amounts.size(record["sram_bytes"])),
        *((f"energy, {part}", amounts.energy(energy[part])) for part in energy),
        ("area", amounts.area(record["area_mm2"], " mm²")),
    ]
    rows.insert(7, ("  of it idle elements", amounts.energy(record["idle_pj"])))
    if "fp_int_share" in record:
        rows.insert(3, ("FP-INT GeMMs' share of the MACs", f"{100 * record['fp_int_share']:.1f} %"))
    flow = "" if record["dataflow"] == "output-stationary" else f", {record['array']} {record['dataflow']}"
    title = (
        f"{work} on {record['arch']}{flow}, mantissa bits {bits}, {record['tokens']} tokens, level {record['level']}"
    )
    print_table(title, ("", record["technology"]), rows)
    _print_gemms(record["gemms"])
    if "parts" in record:
        _print_parts(record["parts"], record["cycles"])
    _print_limits([record])


def _print_gemms(gemms: list[dict[str, Any]]) -> None:
    columns = ["module", "tokens", "in", "out", "repeat", "M", "cycles each", "mapping"]
    keys = ["module", "tokens", "in_channels", "out_channels", "repeat", "mantissa_bits"]
    rows = [[*(g[key] for key in keys), f"{g['cycles']:,}", g["mapping"]] for g in gemms]
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
            amounts.size(p["dram_bytes"]),
            amounts.energy(p["energy_pj"]["total"]),
            p["bound"],
            f"{100 * p['utilisation']:.0f} %",
        )
        for p in parts
    ]
    columns = ("part", "kind", "operations", "cycles", "share", "DRAM", "energy", "bound", "utilisation")
    print_table("Parts of the model", columns, rows)


def _print_limits(records: list[dict[str, Any]]) -> None:
    for line in dict.fromkeys(line for record in records for line in record["notes"]):
        note(line)
    limits = dict.fromkeys(line for record in records for line in record["not_modelled"])
    print_lines("Not modelled: " + "; ".join(limits) + ".")
