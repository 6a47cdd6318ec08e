"""Waveforms (VCD): a reader, and view files that open them in GTKWave and Surfer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TOP = ("bench", "top")
"""Scopes of the top circuit's ports and signals in a waveform of Amaranth's simulator."""

_STREAM_PARTS = ("payload", "valid", "ready")


class Variable(NamedTuple):
    """Signal of a waveform: its scopes, name, width in bits and identifier code."""

    scopes: tuple[str, ...]
    name: str
    width: int
    code: str

    @property
    def path(self) -> str:
        """Scopes and name, joined by dots."""
        return ".".join((*self.scopes, self.name))


@dataclass(frozen=True)
class Waveform:
    """Signals by path, and the changes of each identifier code as (time, value) in order of time."""

    variables: dict[str, Variable]
    changes: dict[str, list[tuple[int, int]]]

    def samples(self, path: str, clock: str = "bench.top.clk") -> list[int]:
        """Value of a signal in each clock cycle, sampled just before the rising edge that ends the cycle."""
        edges = [time for time, value in self.changes[self.variables[clock].code] if value == 1]
        changes, values, index, value = self.changes[self.variables[path].code], list[int](), 0, 0
        for edge in edges:
            while index < len(changes) and changes[index][0] < edge:
                value = changes[index][1]
                index += 1
            values.append(value)
        return values


def read_vcd(path: Path) -> Waveform:
    """Read a waveform that `simulate.run_streams` wrote."""
    variables: dict[str, Variable] = {}
    changes: dict[str, list[tuple[int, int]]] = {}
    scopes: list[str] = []
    time = 0
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("$scope"):
            scopes.append(words[2])
        elif line.startswith("$upscope"):
            scopes.pop()
        elif line.startswith("$var"):
            variable = Variable(tuple(scopes), words[4], int(words[2]), words[3])
            variables[variable.path] = variable
            changes.setdefault(variable.code, [])
        elif line.startswith("#"):
            time = int(line[1:])
        elif line.startswith("b"):
            changes[words[1]].append((time, int(words[0][1:], 2)))
        elif line[:1] in ("0", "1"):
            changes[line[1:]].append((time, int(line[0])))
    return Waveform(variables, changes)


def write_views(vcd: Path) -> tuple[Path, Path]:
    """Write two files beside a waveform that open it with the streams of the top circuit in view.

    Returns
    -------
    tuple of `Path`
        The save file for ``gtkwave FILE.gtkw`` and the commands for ``surfer --command-file FILE.sucl FILE.vcd``.
    """
    groups = _streams(read_vcd(vcd).variables.values())
    save = [f'[dumpfile] "{vcd.resolve()}"', "[timestart] 0", "[sst_expanded] 1"]
    commands: list[str] = []
    for title, variables in groups.items():
        save += ["@200", f"-{title}"]
        commands.append(f"divider_add {title}")
        for variable in variables:
            save += ["@28" if variable.width == 1 else "@22", variable.path + _range(variable)]
            if "." not in variable.name:  # Surfer splits a payload into its fields itself
                commands.append(f"variable_add {variable.path}")
    commands.append("zoom_fit")
    files = vcd.with_suffix(".gtkw"), vcd.with_suffix(".sucl")
    for file, lines in zip(files, (save, commands), strict=True):
        file.write_text("\n".join(lines) + "\n")
    return files


def _range(variable: Variable) -> str:
    return f"[{variable.width - 1}:0]" if variable.width > 1 else ""


def _streams(variables: Iterable[Variable]) -> dict[str, list[Variable]]:
    """Signals to show by group: the clock, then payload, handshake and payload fields of each stream."""
    top = [variable for variable in variables if variable.scopes == _TOP]
    groups = {"clock": [variable for variable in top if variable.name == "clk"]}
    names: Sequence[str] = [variable.name for variable in top]
    for name in names:
        stream, found, part = name.partition("__")
        if found and part in _STREAM_PARTS and stream not in groups:
            wanted = [f"{stream}__{part}" for part in _STREAM_PARTS]
            members = [variable for name in wanted for variable in top if variable.name == name]
            fields = [variable for variable in top if variable.name.startswith(f"\\{stream}__payload.")]
            groups[stream] = members + fields
    return groups
