"""Asks pip whether every dependency has a wheel for every Python, on Linux (x86-64, arm64) and macOS (arm64).

``python scripts/wheels.py`` prints a Markdown table; ``--extra rtl`` adds the packages of an extra (``all`` takes every extra but
``dev``), ``--python 3.14`` asks about one version. The status is 1 if a core dependency has no wheel. Nothing is installed.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
PLATFORMS = {
    "Linux x86-64": [f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014")],
    "Linux arm64": [f"manylinux{tag}_aarch64" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014")],
    "macOS arm64": [f"macosx_{major}_0_{kind}" for major in (15, 14, 13, 12, 11) for kind in ("arm64", "universal2")],
}
LETTERS = {"Linux x86-64": "x", "Linux arm64": "a", "macOS arm64": "m"}
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]


def bare(requirement: str) -> str:
    """A requirement without its marker: the question is whether there is a wheel, not whether it is asked for."""
    return requirement.partition(";")[0].strip()


def without_wheel(requirements: list[str], python: str, platform: str) -> set[str]:
    """Requirements that pip finds no wheel for; all together first, since one call suffices where none is missing."""
    if pip_finds(requirements, python, platform):
        return set()
    if len(requirements) == 1:
        return set(requirements)
    middle = len(requirements) // 2
    return without_wheel(requirements[:middle], python, platform) | without_wheel(
        requirements[middle:], python, platform
    )


def pip_finds(requirements: list[str], python: str, platform: str) -> bool:
    """True if pip would install all of these from wheels."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "--quiet"]
    command += ["--no-deps", "--ignore-installed", "--only-binary=:all:", "--target=unused", "--python-version", python]
    command += [f"--platform={tag}" for tag in PLATFORMS[platform]]
    return subprocess.run([*command, *requirements], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", default=[], help="an extra of pyproject.toml, or all")
    parser.add_argument("--python", action="append", help=f"a version; {', '.join(PYTHONS)} without it")
    given = parser.parse_args()
    extras = PROJECT["optional-dependencies"]
    named = [name for name in extras if name != "dev"] if "all" in given.extra else given.extra
    core = [bare(one) for one in PROJECT["dependencies"]]
    wanted = list(dict.fromkeys([*core, *(bare(one) for name in named for one in extras[name])]))
    pythons = given.python or list(PYTHONS)
    missing = {(p, tag): without_wheel(wanted, p, tag) for p in pythons for tag in PLATFORMS}
    print("| package | " + " | ".join(pythons) + " |\n| --- |" + " --- |" * len(pythons))
    for one in wanted:
        cells = ["".join(LETTERS[tag] for tag in PLATFORMS if one not in missing[p, tag]) or "none" for p in pythons]
        print(f"| {re.split('[<>=[]', one)[0]} | " + " | ".join(cells) + " |")
    print("\n" + ", ".join(f"{letter}: {tag}" for tag, letter in LETTERS.items()))
    raise SystemExit(any(found & set(core) for found in missing.values()))


if __name__ == "__main__":
    main()
