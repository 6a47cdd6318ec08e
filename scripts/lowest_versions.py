"""Prints a pip constraints file that pins every core dependency of a pyproject file to its lower bound."""

import re
import sys
import tomllib
from pathlib import Path


def lowest(requirement: str) -> str | None:
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([A-Za-z0-9_.]+)", requirement)
    return f"{match[1]}=={match[2]}" if match else None


def main() -> None:
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    pins = [lowest(requirement) for requirement in project["dependencies"] if not requirement.startswith("pip")]
    print("\n".join(pin for pin in pins if pin))


if __name__ == "__main__":
    main()
