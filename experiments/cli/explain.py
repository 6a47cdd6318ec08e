"""`anda explain`: where every number of a simulation comes from, count x unit = total, with its source."""

from dataclasses import asdict

from . import machine_options as options
from .machine_options import Request
from .output import JsonOption, print_table, write_json


def explain(
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
    json: JsonOption = None,
) -> None:
    """Show how a simulation's totals arise: count x unit = total, row by row, with the source of every unit."""
    from ...formats import InputError
    from ...sim import explain as explain_result
    from ...sim import not_modelled

    request = Request.of(
        model, gemm, arch, precision, m, whole=whole, tokens=tokens, context=context, batch=batch, phase=phase,
        level=level, technology=technology, objective=objective, tiling=tiling, memory=memory, weights=weights,
        kv_cache=kv_cache, vector_unit=vector_unit, midpoint=midpoint, group_cycles=group_cycles,
    )  # fmt: skip
    first, *others = request.archs
    if others:
        raise InputError("arch: one at a time is explained; give one")
    result = request.run(first)
    rows = explain_result(result)
    if json is not None:
        documents = [asdict(row) | {"total": row.total, "total_unit": row.total_unit} for row in rows]
        write_json({"rows": documents, "not_modelled": not_modelled(result)}, json)
        return
    work = request.model or request.gemm
    for quantity in ("cycles", "traffic", "energy", "area"):
        of_quantity = [row for row in rows if row.quantity == quantity]
        total = sum(row.total for row in of_quantity)
        cells = [
            (
                row.part,
                row.what,
                f"{row.count:,}",
                f"{row.unit:.6g} {row.unit_unit}",
                f"{row.total:,.6g} {row.total_unit}",
                row.source,
            )
            for row in of_quantity
        ]
        title = f"{quantity} of {work} on {result.architecture}: {total:,.6g} {of_quantity[0].total_unit}"
        print_table(title, ("part", "what", "count", "unit", "total", "source"), cells)
    print("Not modelled: " + "; ".join(not_modelled(result)) + ".")
