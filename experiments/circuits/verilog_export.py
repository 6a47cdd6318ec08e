"""Circuits as Verilog: a file, or a folder with testbenches and constraints."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import require_new_file, write_new_file
from ..folder import filling, require_free
from ..options.circuits import VerilogOptions
from ..options.question import question
from ..options.result import Result


@dataclass(frozen=True)
class VerilogExport(Result):
    """Result of `export_verilog`.

    Attributes
    ----------
    design
        Name of the circuit.
    text
        Its Verilog.
    path
        The file or folder that was written; None without.
    written
        Text of each file that was written.
    """

    design: str
    text: str
    path: Path | None = None
    written: dict[Path, str] = field(default_factory=dict[Path, str])

    def to_dict(self) -> dict[str, Any]:
        """Name of the circuit, its text, and the files that were written."""
        return {"design": self.design, "text": self.text, "files": [str(path) for path in self.written]}


@question(VerilogOptions)
def export_verilog(options: VerilogOptions) -> VerilogExport:
    """Write a circuit as Verilog, or a folder with its testbenches and constraints.

    Returns
    -------
    VerilogExport
        The text, and the files that were written.

    Raises
    ------
    InputError
        The circuit or a parameter does not exist, a value is out of range, Yosys is not installed, or a file exists.
    """
    from ...rtl.export.files import circuit_text, export_files

    path = None if options.out is None else Path(options.out)
    folder = path is not None and not path.suffix and not path.is_file()
    if path is not None and not (folder and path.is_dir()):
        require_new_file("out", path)
    parameters = dict(options.parameter or {})
    if path is None or not folder:
        text = circuit_text(options.design, parameters, options.memories, options.language)
        written = {} if path is None else {path: text}
        if path is not None:
            write_new_file("out", path, text)
        return VerilogExport(options.design, text, path, written)
    require_free(path)
    texts = export_files(options.design, parameters, options.memories, options.language)
    written = {path / name: text for name, text in texts.items()}
    with filling(path):
        for file, text in written.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_new_file("out", file, text)
    return VerilogExport(options.design, next(iter(texts.values())), path, written)
