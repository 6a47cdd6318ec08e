"""`anda simulate`: cycles, bytes, energy and area of a model or a GeMM on one accelerator."""

from typing import Annotated, Any

import typer

from .output import JsonOption, note, print_table, write_json


def simulate(
    model: Annotated[str | None, typer.Option("--model", help="A model of `anda models`.")] = None,
    arch: Annotated[str, typer.Option("--arch", help="An architecture of `anda archs`, or a YAML file.")] = "anda",
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="QKV,O,U,D", help="Mantissa bits of the four modules.")
    ] = None,
    m: Annotated[int | None, typer.Option("--m", help="The same mantissa bits in all modules.")] = None,
    gemm: Annotated[
        str | None, typer.Option("--gemm", metavar="TxKxN", help="A single GeMM instead of a model, 2048x4096x4096.")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens to process.")] = 2048,
    phase: Annotated[str, typer.Option("--phase", help="prefill (one pass) or decode (a step a token).")] = "prefill",
    level: Annotated[str, typer.Option("--level", help="closed (formulas) or events (SimPy processes).")] = "closed",
    technology: Annotated[str, typer.Option("--technology", help="Constants: a name or a YAML file.")] = "paper-16nm",
    objective: Annotated[str, typer.Option("--objective", help="What tiling minimises.")] = "energy",
    tiling: Annotated[
        str, typer.Option("--tiling", help="search, model, or a tiling such as activations:32.")
    ] = "search",
    json: JsonOption = None,
) -> None:
    """Simulate the FP-INT GeMMs of a model, or one GeMM, on an accelerator."""
    from ...formats import InputError
    from ..simulation import fixed_precision, simulate_gemm, simulate_model

    if (model is None) == (gemm is None):
        raise InputError("model: give either --model NAME or --gemm TxKxN")
    bits = _precision(precision, m)
    machine: dict[str, Any] = {"level": level, "technology": technology, "objective": objective, "tiling": tiling}
    if gemm is not None:
        record = simulate_gemm(gemm, arch, bits, **machine)
    else:
        record = simulate_model(model or "", arch, bits, tokens=tokens, phase=phase, **machine)
    if bits is not None and fixed_precision(arch):
        note(f"precision: {arch} has its own width; the one given does not apply")
    if json is not None:
        write_json(record, json)
    else:
        _print_record(record)


def _precision(text: str | None, mantissa_bits: int | None) -> Any:
    from ...formats import InputError
    from ...workloads import Precision

    if text is not None and mantissa_bits is not None:
        raise InputError("precision: given twice; use either --precision or --m")
    if mantissa_bits is not None:
        return Precision.uniform(mantissa_bits)
    return None if text is None else Precision.parse(text)


def _print_record(record: dict[str, Any]) -> None:
    work = record["model"] or record["gemm"]
    bits = ",".join(map(str, record["precision"]))
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
    title = f"{work} on {record['arch']}, mantissa bits {bits}, {record['tokens']} tokens, level {record['level']}"
    print_table(title, ("", record["technology"]), rows)
    print_table(
        "GeMMs",
        ("module", "tokens", "in", "out", "repeat", "M", "cycles each", "tiling"),
        [
            (
                g["module"],
                g["tokens"],
                g["in_channels"],
                g["out_channels"],
                g["repeat"],
                g["mantissa_bits"],
                f"{g['cycles']:,}",
                g["tiling"],
            )
            for g in record["gemms"]
        ],
    )
