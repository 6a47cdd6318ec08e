"""On-chip memories from a CACTI table (`sim/cost/cacti.py`), scaled to a node that CACTI does not model."""

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from ...formats import InputError
from ...formats.documents.schema import Config
from .constants import Constant, unit

FOLDER = Path(__file__).parents[1] / "technology"

Ratio = Annotated[Constant, unit("1")]


@dataclass(frozen=True, slots=True)
class SramMacro:
    """Area, energy, leakage and cycle time of one memory with one port."""

    area_mm2: float
    read_pj: float
    """Energy to read one row, as wide as the port."""
    write_pj: float
    leakage_mw: float
    cycle_ns: float
    """Cycle time at the table's own node, an upper bound after scaling."""
    between: tuple[int, int] | None
    """Capacities in bytes of the two rows interpolated between; None for a row of the table."""

    def notes(self, field: str, clock_hz: int) -> list[str]:
        """Warnings about the figures: interpolated, or slower than the clock."""
        lines: list[str] = []
        if self.between is not None:
            lines.append(f"{field}: interpolated between memories of {self.between[0]} and {self.between[1]} B")
        if self.cycle_ns > 1e9 / clock_hz:
            lines.append(
                f"{field}: takes {self.cycle_ns:.2f} ns a cycle, more than the {1e9 / clock_hz:.2f} ns of the clock; "
                f"lower the clock or the capacity"
            )
        return lines


class SramTable(Config):
    """Rows of a CACTI table, and the factors from its node to this technology's."""

    table: str
    """Name of a CSV file beside the technology files."""
    device: str
    area_scale: Ratio
    energy_scale: Ratio
    leakage_scale: Ratio

    def macro(self, field: str, capacity_bytes: int, port_bits: int) -> SramMacro:
        """A memory of any capacity within the table, by interpolation between logarithms.

        Parameters
        ----------
        field
            Name of the memory in error messages.
        capacity_bytes
            Capacity in bytes.
        port_bits
            Width of the port in bits.

        Raises
        ------
        InputError
            The table has no such device, port or capacity, or there is no such table.
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
        area, read, write, leakage, cycle = (
            a ** (1 - share) * b**share for a, b in zip(rows[low], rows[high], strict=True)
        )
        energy_scale = self.energy_scale.value
        return SramMacro(
            area_mm2=area * self.area_scale.value,
            read_pj=read * energy_scale,
            write_pj=write * energy_scale,
            leakage_mw=leakage * self.leakage_scale.value,
            cycle_ns=cycle,
            between=None if high == low else (low, high),
        )


@cache
def _ports(table: str, device: str) -> dict[int, dict[int, tuple[float, ...]]]:
    """Area, read and write energy, leakage and cycle time by port bits and capacity in bytes."""
    if table not in _tables():
        raise InputError(f"sram.table: there is no {table!r}; choose one of {', '.join(_tables())}")
    ports: dict[int, dict[int, tuple[float, ...]]] = {}
    devices: list[str] = []
    for row in csv.DictReader((FOLDER / table).read_text("utf-8").splitlines()):
        devices.append(row["device"])
        if row["device"] == device:
            values = (float(row[name]) for name in ("area_mm2", "read_pj", "write_pj", "leakage_mw", "cycle_ns"))
            ports.setdefault(int(row["port_bits"]), {})[int(row["capacity_bytes"])] = tuple(values)
    if not ports:
        raise InputError(
            f"sram.device: {device!r} is not in {table}; choose one of {', '.join(dict.fromkeys(devices))}"
        )
    return ports


def _tables() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.csv"))
