"""The table of on-chip memories; ``python -m anda_codesign.sim.cost.cacti --cacti FOLDER`` renews it.

CACTI is not needed to use the table. To renew it, take the source of CACTI 7 (the wheel of hwcomponents-cacti 1.0.40 has
it under ``hwcomponents_cacti/cacti``), build it there with ``make opt``, and give that folder. The inputs are
``technology/cacti.cfg`` and the sizes, ports and device types below.
"""

import argparse
import csv
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...formats import InputError

CONFIGURATION = Path(__file__).parents[1] / "technology" / "cacti.cfg"
TABLE = Path(__file__).parents[1] / "technology" / "sram-cacti-22nm.csv"
FIELDS = ("device", "port_bits", "capacity_bytes", "area_mm2", "read_pj", "write_pj", "leakage_mw", "cycle_ns")

DEVICES = ("itrs-lop", "itrs-lstp")
CAPACITIES = {1024: range(14, 24), 512: range(14, 23), 256: range(14, 23), 128: range(14, 23), 64: range(14, 23)} | {
    80: range(13, 20)
}
"""Base-two logarithms of the capacities in bytes, by port width in bits; 80 bits for exponent memories."""


def configurations() -> Iterator[tuple[str, int, int]]:
    """Device type, port bits and capacity in bytes of each row."""
    for device in DEVICES:
        for port_bits, logarithms in CAPACITIES.items():
            for logarithm in logarithms:
                yield device, port_bits, 1 << logarithm


def run_cacti(folder: Path, device: str, port_bits: int, capacity_bytes: int) -> dict[str, str]:
    """Run CACTI for one memory and return its row of the table, in the units of the field names."""
    rows = -(-capacity_bytes * 8 // port_bits)
    lines = [
        CONFIGURATION.read_text("utf-8"),
        f"-size (bytes) {rows * port_bits // 8}",
        f"-block size (bytes) {port_bits // 8}",
        f"-output/input bus width {port_bits}",
        *(f'-{part} array {layer} type - "{device}"' for part in ("Data", "Tag") for layer in ("cell", "peripheral")),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "memory.cfg"
        source.write_text("\n".join(lines) + "\n", "utf-8")
        subprocess.run(["obj_opt/cacti", "-infile", str(source)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        result = list(csv.DictReader(source.with_suffix(".cfg.out").read_text("utf-8").splitlines()))[-1]
    values = {name.strip(): value for name, value in result.items() if name}
    return {
        "device": device,
        "port_bits": str(port_bits),
        "capacity_bytes": str(capacity_bytes),
        "area_mm2": f"{float(values['Area (mm2)']):.5g}",
        "read_pj": f"{1e3 * float(values['Dynamic read energy (nJ)']):.5g}",
        "write_pj": f"{1e3 * float(values['Dynamic write energy (nJ)']):.5g}",
        "leakage_mw": f"{float(values['Standby leakage per bank(mW)']):.5g}",
        "cycle_ns": f"{float(values['Random cycle time (ns)']):.5g}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run CACTI for every row and write the table."""
    parser = argparse.ArgumentParser(description="Renew the table of on-chip memories with CACTI.")
    parser.add_argument("--cacti", type=Path, required=True, help="folder with the built cacti program")
    parser.add_argument("--out", type=Path, default=TABLE, help="CSV file to write")
    options = parser.parse_args(arguments)
    if not (options.cacti / "obj_opt" / "cacti").is_file():
        raise InputError(f"cacti: {str(options.cacti)!r} has no obj_opt/cacti; build it there with 'make opt'")
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list[str](FIELDS), lineterminator="\n")
        writer.writeheader()
        for row in configurations():
            writer.writerow(run_cacti(options.cacti, *row))


if __name__ == "__main__":
    main()
