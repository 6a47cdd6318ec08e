"""On-chip memories from a table that CACTI wrote (`sim/cacti.py`), scaled to a node that CACTI does not have."""

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from ..formats import InputError
from .config import Config
from .constants import Constant, unit

FOLDER = Path(__file__).with_name("technology")

Ratio = Annotated[Constant, unit("1")]


@dataclass(frozen=True, slots=True)
class SramMacro:
    """One memory with one port."""

    area_mm2: float
    read_pj: float
    """Of a whole row of the port's width."""
    write_pj: float
    leakage_mw: float


class SramTable(Config):
    """Which rows of a table to take, and the factors from its node to this technology's."""

    table: str
    """Name of a CSV file beside the technology files."""
    device: str
    area_scale: Ratio
    energy_scale: Ratio
    leakage_scale: Ratio

    def macro(self, field: str, capacity_bytes: int, port_bits: int) -> SramMacro:
        """A memory of any capacity in the range of the table; its logarithms are interpolated.

        Args:
            field: what an error calls the memory.
            capacity_bytes: its size.
            port_bits: width of its port.

        Raises:
            InputError: no such table or device, or a port or capacity that the table does not have.
        """
        ports = _ports(self.table, self.device)
        if port_bits not in ports:
            widths = ", ".join(f"{width} bit" for width in sorted(ports))
            raise InputError(f"{field}.port: {port_bits} bit is not in {self.table}; use {widths}")
        rows = ports[port_bits]
        capacities = sorted(rows)
        if not capacities[0] <= capacity_bytes <= capacities[-1]:
            raise InputError(
                f"{field}.capacity: {capacity_bytes} B is not in {self.table}; use {capacities[0]} to {capacities[-1]} B"
            )
        high = next(capacity for capacity in capacities if capacity >= capacity_bytes)
        low = max(capacity for capacity in capacities if capacity <= capacity_bytes)
        share = 0.0 if high == low else math.log(capacity_bytes / low) / math.log(high / low)
        area, read, write, leakage = (a ** (1 - share) * b**share for a, b in zip(rows[low], rows[high], strict=True))
        energy_scale = self.energy_scale.value
        return SramMacro(
            area * self.area_scale.value, read * energy_scale, write * energy_scale, leakage * self.leakage_scale.value
        )


@cache
def _ports(table: str, device: str) -> dict[int, dict[int, tuple[float, float, float, float]]]:
    """Area, read and write energy and leakage by port bits and capacity in bytes."""
    path = FOLDER / table
    if not path.is_file():
        raise InputError(f"sram.table: there is no {table!r}; choose one of {', '.join(_tables())}")
    ports: dict[int, dict[int, tuple[float, float, float, float]]] = {}
    devices: list[str] = []
    for row in csv.DictReader(path.read_text("utf-8").splitlines()):
        devices.append(row["device"])
        if row["device"] == device:
            values = (float(row[name]) for name in ("area_mm2", "read_pj", "write_pj", "leakage_mw"))
            ports.setdefault(int(row["port_bits"]), {})[int(row["capacity_bytes"])] = tuple(values)  # type: ignore[assignment]
    if not ports:
        raise InputError(
            f"sram.device: {device!r} is not in {table}; choose one of {', '.join(dict.fromkeys(devices))}"
        )
    return ports


def _tables() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.csv"))
