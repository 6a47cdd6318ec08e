"""Prints the Python interpreters of this machine that the package supports, the oldest first; one a version.

It looks along ``PATH`` and in the folder of pyenv's versions.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)
QUESTION = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"


def candidates() -> Iterator[Path]:
    """Files named ``python3.N``."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders = [*map(Path, os.environ.get("PATH", "").split(os.pathsep)), *sorted(pyenv.glob("*/bin"))]
    for folder in folders:
        yield from sorted(path for path in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))


def version(path: Path) -> tuple[int, ...] | None:
    """Version of an interpreter; None if it does not run or cannot make a virtual environment."""
    done = subprocess.run([path, "-c", QUESTION], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split("."))) if done.returncode == 0 else None


def interpreters() -> dict[tuple[int, ...], Path]:
    """Interpreters by version, the oldest first."""
    found: dict[tuple[int, ...], Path] = {}
    for path in candidates():
        number = version(path)
        if number is not None and number >= OLDEST:
            found.setdefault(number, path)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    print("\n".join(map(str, interpreters().values())))
