"""`anda explain`: where every number of a simulation comes from, count x unit = total, with its source."""

from ...options.simulation import ExplainOptions
from ..command import Given, command
from ..output import JsonOption, print_table, write_json
from .work import UniformOption, architectures, simulation_options


@command(ExplainOptions, plugins=True)
def explain(given: Given, *, m: UniformOption = None, json: JsonOption = None) -> None:
    """Show how a simulation's totals arise: count x unit = total, row by row, with the source of every unit."""
    from ....formats import InputError
    from ...simulation import explain as explain_simulation

    options = simulation_options(given, m)
    if len(architectures(options["arch"])) > 1:
        raise InputError("arch: only one can be explained at a time; give one")
    explanation = explain_simulation(**options)
    if write_json(explanation, json):
        return
    work = given["model"] or given["gemm"]
    for quantity in ("cycles", "traffic", "energy", "area"):
        rows = [row for row in explanation.rows if row.quantity == quantity]
        total = sum(row.total for row in rows)
        cells = [
            (
                row.part,
                row.what,
                f"{row.count:,}",
                f"{row.unit:.6g} {row.unit_unit}",
                f"{row.total:,.6g} {row.total_unit}",
                row.source,
            )
            for row in rows
        ]
        arch = explanation.simulation.run.architecture
        title = f"{quantity} of {work} on {arch}: {total:,.6g} {rows[0].total_unit}"
        print_table(title, ("part", "what", "count", "unit", "total", "source"), cells)
    rows = [
        (
            row.module,
            row.mapping,
            "chosen" if row.chosen else "" if row.possible else "with partial_sums: buffer",
            f"{row.cycles:,}",
            f"{row.dram_bytes / 2**20:,.1f}",
            f"{row.sram_bytes / 2**20:,.1f}",
            f"{row.energy_pj / 1e6:,.1f}",
        )
        for row in explanation.mappings
    ]
    columns = ("module", "mapping", "", "cycles", "DRAM MiB", "SRAM MiB", "µJ")
    print_table("mapping of each GeMM and the best one of every family, level analytical", columns, rows)
    print("Not modelled: " + "; ".join(explanation.to_dict()["not_modelled"]) + ".")
