"""Tables of a whole inference: time and energy of a token, memory, and what bounds each part."""

from typing import Any

from ... import amounts
from ..output import print_table


def print_inference(records: list[dict[str, Any]]) -> None:
    """Print the records of one inference on one architecture or several."""
    first = records[0]
    request = f"{first['batch']} x ({first['prompt']} + {first['generate']} tokens)"
    title = f"{first['model']}, {request}, level {first['level']}, {first['technology']}"
    print_table(title, ("", *(record["arch"] for record in records)), quantity_rows(records))
    for record in records:
        _print_parts(record)


def quantity_rows(records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row of each quantity: its name, and its amount in each record."""
    return [(label, *(read(record) for record in records)) for label, read in _QUANTITIES.items()]


def precision_text(precision: list[Any]) -> str:
    """Four numbers as ``7,5,6,6``; the means where each layer has its own."""
    if isinstance(precision[0], list):
        means = (sum(bits) / len(precision) for bits in zip(*precision, strict=True))
        return "mean " + ",".join(f"{mean:.2f}" for mean in means)
    return ",".join(map(str, precision))


def _time(value: float | None) -> str:
    return "" if value is None else amounts.seconds(value)


_QUANTITIES = {
    "mantissa bits": lambda r: precision_text(r["precision"]),
    "time to first token": lambda r: _time(r["ttft_seconds"]),
    "time per output token, mean": lambda r: _time(r["tpot_seconds"]["mean"]),
    "time per output token, last": lambda r: _time(r["tpot_seconds"]["last"]),
    "tokens per second": lambda r: f"{r['tokens_per_second']:#.3g}",
    "total time": lambda r: _time(r["total_seconds"]),
    "energy per token": lambda r: amounts.energy(r["energy_per_token_pj"]),
    "total energy": lambda r: amounts.energy(r["total_energy_pj"]),
    "KV cache": lambda r: amounts.size(r["kv_cache_bytes"]),
    "memory": lambda r: amounts.size(r["memory_bytes"]),
    "DRAM traffic": lambda r: amounts.size(r["dram_bytes"]),
    "area": lambda r: amounts.area(r["area_mm2"], " mm²"),
}


def _print_parts(record: dict[str, Any]) -> None:
    clock_hz = record["cycles"] / record["total_seconds"]
    rows = [
        (
            part["phase"],
            part["name"],
            amounts.seconds(part["cycles"] / clock_hz),
            f"{100 * part['cycles'] / record['cycles']:.1f} %",
            part["bound"],
            f"{100 * part['utilisation']:.0f} %",
            amounts.size(part["dram_bytes"]),
            amounts.energy(part["energy_pj"]["total"]),
        )
        for part in record["parts"]
    ]
    columns = ("phase", "part", "time", "share", "bound", "utilisation", "DRAM", "energy")
    print_table(f"Parts on {record['arch']}", columns, rows)
