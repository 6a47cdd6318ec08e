"""Write the output of commands into the documentation, and the tables that other scripts make.

``python scripts/docs_numbers.py`` renews every page; ``--check`` changes nothing, names what is stale and ends with status 1;
``--page docs/start/answer.md`` takes one page. A block of output stands between the lines

    <!-- output: anda simulate --model LLaMA-7B -->
    <!-- end -->

``<!-- output 12: anda formats -->`` keeps the first 12 lines. The commands of a page run in its order, in one folder.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
COLUMNS = 100
OUTPUT = re.compile(r"<!-- output(?: (?P<lines>\d+))?: (?P<command>anda .*?) -->\n.*?<!-- end -->", re.DOTALL)
ANDA = "import sys; from anda_codesign.experiments.cli import main; sys.exit(main())"
TABLES: dict[str, tuple[str, ...]] = {
    "docs/calibration.md": ("-m", "anda_codesign.experiments.reproduce.calibration"),
    "docs/models.md": ("scripts/models_table.py",),
    "docs/options.md": ("scripts/options_page.py",),
    "docs/rtl.md": ("scripts/circuit_tables.py",),
    "docs/simulator.md": ("scripts/inference_table.py",),
    "docs/simulator_inside.md": ("scripts/levels_table.py",),
}
"""Programs that write the marked tables of a page, by ``--update PAGE`` (the options page writes itself)."""


def run(command: str, folder: Path) -> str:
    """Standard output of a command, in a folder and on a terminal of `COLUMNS` characters."""
    words = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-c", ANDA, *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def block(command: str, output: str, lines: int | None) -> str:
    """A block of output as it stands in a page."""
    rows = [line.rstrip() for line in output.strip("\n").splitlines()]
    if lines is not None and len(rows) > lines:
        rows = [*rows[:lines], "…"]
    count = "" if lines is None else f" {lines}"
    shown = "\n".join([f"$ {command}", *rows])
    return f"<!-- output{count}: {command} -->\n```console\n{shown}\n```\n<!-- end -->"


def renewed(page: str) -> str:
    """Text of a page with the output of its commands."""
    with TemporaryDirectory() as folder:

        def renew(match: re.Match[str]) -> str:
            lines = match["lines"] and int(match["lines"])
            return block(match["command"], run(match["command"], Path(folder)), lines or None)

        return OUTPUT.sub(renew, page)


def pages() -> list[Path]:
    """Pages with output of commands or with tables."""
    found = {
        path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if OUTPUT.search(path.read_text("utf-8"))
    }
    return sorted(found | {ROOT / name for name in TABLES})


def renew_tables(page: Path) -> None:
    """Run the program that writes the tables of a page, if it has one."""
    name = page.relative_to(ROOT).as_posix()
    if name in TABLES:
        update = () if name == "docs/options.md" else ("--update", str(page))
        subprocess.run([sys.executable, *TABLES[name], *update], cwd=ROOT, check=True)


def main() -> None:
    """Renew or check pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if a page is stale")
    parser.add_argument("--page", type=Path, action="append", help="only this page")
    given = parser.parse_args()
    stale: list[str] = []
    for page in [path.resolve() for path in given.page or pages()]:
        before = page.read_text("utf-8")
        renew_tables(page)
        after = renewed(page.read_text("utf-8"))
        page.write_text(before if given.check else after, "utf-8")
        if after != before:
            stale.append(page.relative_to(ROOT).as_posix())
    print("\n".join([f"{'stale' if given.check else 'renewed'}: {name}" for name in stale]) or "nothing is stale")
    raise SystemExit(bool(stale) and given.check)


if __name__ == "__main__":
    main()
