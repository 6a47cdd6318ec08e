"""Cell libraries, read from Liberty files."""

import re
from collections.abc import Sequence
from pathlib import Path

from ....formats import InputError
from ....formats.documents.border import border
from .cell import Cell
from .cell_reader import LibraryHeader, read_cell
from .reader import LibertyFile, read_liberty


class CellLibrary:
    """Cells of one or more Liberty files that belong together.

    Attributes
    ----------
    name : `str`
        Name of the library; the common parts of the names if there are several files.
    files : `list` of `Path`
        Liberty files.
    voltage, temperature : `float`
        Nominal voltage in V and temperature in degrees Celsius.
    corner : `str`
        Process, voltage and temperature, as the library names them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise InputError("liberty: no file is given; give the files of a library")
        self._files = [read_liberty(path) for path in files]
        self.files = list(files)
        self._where: dict[str, LibertyFile] = {}
        for file in self._files:
            if twice := self._where.keys() & set(file.cell_names):
                raise InputError(f"liberty: {file.path} has the cell {min(twice)} of an earlier file; leave one out")
            self._where |= dict.fromkeys(file.cell_names, file)
        self._cells: dict[str, Cell] = {}
        self._headers = {file.path: LibraryHeader(file) for file in self._files}
        voltages = {header.voltage for header in self._headers.values()}
        if len(voltages) > 1:
            raise InputError(f"liberty: the files have nom_voltages {sorted(voltages)}; give the files of one corner")
        first = self._headers[self._files[0].path]
        self.voltage, self.temperature = first.voltage, first.temperature
        self.name = _common_name([file.header.name for file in self._files])
        self.corner = self._files[0].header.attributes.get("default_operating_conditions", "") or "nominal"

    def __contains__(self, name: str) -> bool:
        return name in self._where

    @property
    def cell_names(self) -> Sequence[str]:
        """Names of the cells in all files."""
        return list(self._where)

    def cell(self, name: str) -> Cell:
        """Cell of a name that the library has."""
        if name not in self._cells:
            file = self._where[name]
            with border(f"liberty: {file.path}: cell {name} is damaged", "fix it, or leave the cell out"):
                try:
                    self._cells[name] = read_cell(file.cell(name), self._headers[file.path])
                except InputError as error:
                    where = "" if str(file.path) in str(error) else f"liberty: {file.path}: cell {name}: "
                    raise InputError(f"{where}{str(error).removeprefix('liberty: ') if where else error}") from None
        return self._cells[name]


def _common_name(found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    parts = [re.split("_", name) for name in found]
    shared = [column[0] for column in zip(*parts, strict=False) if len(set(column)) == 1]
    return "_".join(shared) or found[0]
