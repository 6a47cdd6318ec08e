"""Fuzzer of all readers: each case is accepted and equal when read again, or refused by an `InputError` of one line.

``make fuzz`` runs it for an hour. Without options it prints the table of docs/reliability.md.
"""

import argparse
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parent))

from anda_codesign.formats import InputError
from readers import Reader, plain, readers

SECONDS = 20
"""Longest time of a case; a longer one counts as neither accepted nor refused."""


def outcome(reader: Reader, data: bytes, folder: Path) -> str:
    """``accepted``, ``refused``, or the fault."""
    try:
        value = reader.read(data, folder)
        again = data if reader.write is None else reader.write(value)
        if plain(reader.read(again, folder)) != plain(value):
            return "not equal when read again"
        return "accepted"
    except InputError as error:
        return "refused" if str(error) and "\n" not in str(error) else f"message of several lines: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))


def run(
    reader: Reader, seed: str, cases: int, folder: Path, until: float = float("inf")
) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes, and the faults with the seed that repeats each."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(cases):
        if time.monotonic() > until:
            break
        name = f"{seed}/{reader.name}/{number}"
        data = reader.case(Random(name))
        found = _outcome_in_time(reader, data, folder)
        kind = found if found in ("accepted", "refused") else "others"
        counts[kind] += 1
        if kind == "others":
            faults.append(f"--- {name}\n{found}")
    return counts, faults


def _outcome_in_time(reader: Reader, data: bytes, folder: Path) -> str:
    """`outcome`, which is a fault if it takes longer than `SECONDS`."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        return outcome(reader, data, folder)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _too_long(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(f"more than {SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1", help="any text; the same seed gives the same cases")
    parser.add_argument("--cases", type=int, default=1000, help="cases of each reader in a round")
    parser.add_argument("--seconds", type=float, help="go on with further seeds for this time")
    parser.add_argument("--reader", help="only readers whose name holds this text")
    options = parser.parse_args()
    warnings.simplefilter("error")
    until = time.monotonic() + (options.seconds or float("inf"))
    totals: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "files")
        folder.mkdir()
        chosen = [reader for reader in readers(Path(scratch)) if (options.reader or "") in reader.name]
        rounds = 0
        while not rounds or (options.seconds and time.monotonic() < until):
            seed = f"{options.seed}.{rounds}" if rounds else options.seed
            print(f"seed {seed}", file=sys.stderr)
            for reader in chosen:
                counts, faults = run(reader, seed, options.cases, folder, until)
                totals[reader.name] = totals.get(reader.name, Counter()) + counts
                print(*faults, sep="\n", end="", file=sys.stderr)
            rounds += 1
    print("| reader | cases | accepted | refused | others |\n| --- | ---: | ---: | ---: | ---: |")
    for name, counts in [*totals.items(), ("all", sum(totals.values(), Counter()))]:
        print(f"| {name} | {counts.total()} | {counts['accepted']} | {counts['refused']} | {counts['others']} |")
    return int(any(counts["others"] for counts in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
