"""Kills commands at random moments (kill -9), runs them again until they finish, and counts what is lost or doubled.

``python tests/faults/kill.py`` prints the table of docs/reliability.md; ``--runs 100 --seed 7`` for more.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
MOST_KILLS = 3
"""Kills of a run; after them it may finish."""

SWEEP = """
models: OPT-125M
archs: [anda, fp-fp]
mantissa_bits: {from: 4, to: 9}
tokens: [16, 17, 18, 19, 20, 21]
levels: events
"""
CAPTURE = """
from anda_codesign.workloads.loading import checkpoint
from anda_codesign.workloads.traces.capture import CaptureText, capture_checkpoint
from checkpoints import ByteTokenizer

checkpoint.read_tokenizer = lambda *_: ByteTokenizer()
capture_checkpoint("llama", "out", CaptureText(text="text.txt", tokens=200, blocks=8))
"""
SEARCH = """
from pathlib import Path
import anda_codesign
from anda_codesign.workloads import synthetic_decoder

found = anda_codesign.search(model=synthetic_decoder(), text="text.txt", blocks=6, tokens=64, iterations=8, tolerance=0.001)
from anda_codesign.experiments.files import write_new_file
import json
Path("search.json").unlink(missing_ok=True)
write_new_file("json", "search.json", json.dumps(found.to_dict(), sort_keys=True))
"""
SYNTHESIS = """
import shutil
import anda_codesign

shutil.rmtree("out", ignore_errors=True)
for design in ("fp32-to-fp16", "int-to-fp16"):
    anda_codesign.synthesize(design=design, clock_ps=20000, m=[4], trace="trace.safetensors", out=f"out/{design}")
"""
REPORT = """
from pathlib import Path
from anda_codesign.experiments.folder import is_free
from anda_codesign.experiments.report import job

job.CIRCUIT_WIDTHS = (3,)
if is_free(Path("out")):  # it may be killed after its last file
    job.report(out="out", blocks=2, tokens=64)
"""
ANDA = "import sys; from anda_codesign.experiments.cli import main; sys.exit(main(sys.argv[1:]))"

Contents = Mapping[str, list[str]]
"""Hashes of what a run leaves, by name: more than one is doubled."""


class Subject(NamedTuple):
    """A command that is killed.

    Attributes
    ----------
    name
        Its name in the table.
    prepare
        Writes its inputs into a folder.
    arguments
        Arguments of Python.
    contents
        What it leaves in the folder.
    """

    name: str
    prepare: Callable[[Path], object]
    arguments: tuple[str, ...]
    contents: Callable[[Path], Contents]


class Counts(NamedTuple):
    """Kills and their damage: entries that differ from those of an undisturbed run, and entries that are there twice."""

    runs: int
    kills: int
    lost: int
    doubled: int


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(paths: Iterable[Path]) -> Contents:
    return {path.name: [digest(path.read_bytes())] for path in paths if path.is_file() and path.name != ".lock"}


def rows(folder: Path) -> Contents:
    """Rows of a sweep by key, from its parts and its results."""
    import pandas as pd

    found: dict[str, list[str]] = {}
    parts = pd.concat(map(pd.read_parquet, (folder / "out").glob("part-*.parquet")))
    for row in parts.to_dict("records"):
        found.setdefault(f"part {row['key']}", []).append(digest(json.dumps(row, sort_keys=True).encode()))
    for row in pd.read_parquet(folder / "out" / "results.parquet").to_dict("records"):
        found.setdefault(f"row {row['key']}", []).append(digest(json.dumps(row, sort_keys=True).encode()))
    return found | files([*(folder / "out").glob("results.*"), *(folder / "out").glob(".*.part")])


def write_checkpoint(folder: Path) -> None:
    from checkpoints import LLAMA_CONFIG, TEXT, llama_tensors, write

    write(folder / "llama", LLAMA_CONFIG, llama_tensors())
    (folder / "text.txt").write_text(TEXT * 20)


def link_fetched(folder: Path) -> None:
    """Give a run's own cache folder the model and the text that ``anda fetch`` has brought."""
    from anda_codesign.workloads.fetch import cache_dir

    (folder / "cache").mkdir()
    for path in cache_dir().iterdir():
        if path.is_file():
            (folder / "cache" / path.name).symlink_to(path)


def report(folder: Path) -> Contents:
    """Files of a report that hold neither times nor a command."""
    names = ("table.csv", "circuits.csv", "trace.safetensors", "timeline.json", ".unfinished")
    return files(path for name in names if (path := folder / "out" / name).exists())


def write_trace(folder: Path) -> None:
    import numpy as np
    from anda_codesign.workloads import TextBlocks, capture_trace, synthetic_decoder

    capture_trace(synthetic_decoder(), TextBlocks(np.arange(32, dtype=np.int32)[None]), tokens=32).save(
        folder / "trace.safetensors"
    )


def tree(folder: Path) -> Contents:
    return files((folder / "out").rglob("*"))


SWEEPS = ("-c", ANDA, "sweep", "sweep.yaml", "--out", "out")
SUBJECTS = {
    "sweep": Subject("sweep", lambda folder: (folder / "sweep.yaml").write_text(SWEEP), SWEEPS, rows),
    "sweep --workers 2": Subject(
        "sweep --workers 2",
        lambda folder: (folder / "sweep.yaml").write_text(SWEEP),
        (*SWEEPS, "--workers", "2"),
        rows,
    ),
    "capture": Subject("capture", write_checkpoint, ("-c", CAPTURE), tree),
    "search": Subject("search", write_checkpoint, ("-c", SEARCH), lambda folder: files(folder.glob("*.json"))),
    "report": Subject("report", link_fetched, ("-c", REPORT), report),
    "synth": Subject("synth", write_trace, ("-c", SYNTHESIS), tree),
}


def start(subject: Subject, folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "ANDA_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(TESTS / "workloads"),
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, *subject.arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    errors = process.communicate()[1]
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode}: {errors[-2000:]}")


def is_killed(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Kill a command that still runs after a time, and close its pipe."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def kill_runs(subject: Subject, runs: int, seed: int, folder: Path) -> Counts:
    """Kill a command in some runs and compare what each leaves with an undisturbed run."""
    rng = random.Random(f"{subject.name} {seed}")
    whole = folder / "undisturbed"
    whole.mkdir()
    subject.prepare(whole)
    begin = time.monotonic()
    finish(start(subject, whole))
    seconds, expected = time.monotonic() - begin, subject.contents(whole)
    kills = lost = doubled = 0
    for number in range(runs):
        own = folder / str(number)
        own.mkdir()
        subject.prepare(own)
        for _ in range(MOST_KILLS):
            if not is_killed(start(subject, own), rng.uniform(0.2, 1) * seconds):
                break
            kills += 1
        finish(start(subject, own))
        found = subject.contents(own)
        lost += sum(found.get(name, [None])[0] != hashes[0] for name, hashes in expected.items())
        doubled += sum(len(hashes) - 1 for hashes in found.values()) + len(found.keys() - expected.keys())
    return Counts(runs, kills, lost, doubled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subject", choices=SUBJECTS, action="append")
    options = parser.parse_args()
    print("| command | runs | kills | lost | doubled |\n| --- | ---: | ---: | ---: | ---: |")
    for name in options.subject or SUBJECTS:
        with tempfile.TemporaryDirectory() as folder:
            counts = kill_runs(SUBJECTS[name], options.runs, options.seed, Path(folder))
        print(f"| {name} | {' | '.join(map(str, counts))} |", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS / "workloads"))
    main()
