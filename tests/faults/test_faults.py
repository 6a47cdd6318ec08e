"""Faults that commands meet: kill -9, full disks, read-only folders. Nothing is lost or doubled; a refusal is one line."""

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kill import ANDA, CAPTURE, SEARCH, SUBJECTS, SWEEP, TESTS, kill_runs, write_checkpoint
from tools import absent

COMMANDS = {
    "sweep": (ANDA, "sweep", "sweep.yaml", "--out", "out"),
    "capture": (CAPTURE,),
    "search": (SEARCH,),
    "simulate": (ANDA, "simulate", "--model", "OPT-125M", "--arch", "fp-fp", "--json", "out.json"),
    "report": (ANDA, "results", "finished", "--report", "out"),
}
PR_CAPBSET_DROP = 24
LIBC = ctypes.CDLL(None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep", "sweep --workers 2", "capture", "search"])
def test_killed_commands_lose_and_double_nothing(name: str, tmp_path: Path):
    counts = kill_runs(SUBJECTS[name], runs=1, seed=3, folder=tmp_path)
    assert (counts.lost, counts.doubled) == (0, 0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with the inputs of all commands, which any user may read and write."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_checkpoint(place)
        (place / "sweep.yaml").write_text(SWEEP.replace("{from: 4, to: 9}", "[4, 5]"))
        (place / "cache").mkdir()
        yield place


def run(
    place: Path, command: tuple[str, ...], prepare: Callable[[], None] | None
) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"ANDA_CACHE": str(place / "cache"), "PYTHONPATH": str(TESTS / "workloads")}
    environment |= {
        "NUMBA_CACHE_DIR": str(place / "numba"),
        "HOME": str(place),
        "MPLCONFIGDIR": str(place / "matplotlib"),
    }
    return subprocess.run(
        [sys.executable, "-c", *command],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=prepare,
    )


def message(failed: "subprocess.CompletedProcess[str]") -> str:
    """The last line of a failed run; a program in Python shows the same line as its `InputError`."""
    assert failed.returncode in (1, 2), failed.stderr
    if failed.returncode == 2:
        assert "Traceback" not in failed.stderr
    return failed.stderr.splitlines()[-1].removeprefix("anda: error: ").rpartition("InputError: ")[2]


def limit() -> None:
    """No file of the process may grow beyond 100 bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def finish_a_sweep(place: Path) -> None:
    done = run(place, (ANDA, "sweep", "sweep.yaml", "--out", "finished"), None)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_the_command_goes_on(name: str, place: Path):
    if name == "report":
        finish_a_sweep(place)
    failed = run(place, COMMANDS[name], limit)
    assert "cannot be written (" in message(failed) or "File too large" in message(failed)
    assert not [path for path in place.rglob("*.part") if "numba" not in path.parts]
    if name != "report":  # a report is written anew, into another folder
        done = run(place, COMMANDS[name], None)
        assert done.returncode == 0, done.stderr


def obey_permissions() -> None:
    """Root writes everywhere; without these capabilities (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH) it obeys as others do."""
    for capability in (1, 2):
        if os.geteuid() == 0 and LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            os._exit(77)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("name", ["sweep", "simulate", "report", "capture", "search"])
def test_a_folder_that_may_not_be_written_is_one_line(name: str, place: Path):
    if name == "report":
        finish_a_sweep(place)
    place.chmod(0o555)
    before = sorted(place.iterdir())
    failed = run(place, COMMANDS[name], obey_permissions)
    place.chmod(0o755)
    if failed.returncode == 77:
        absent("capabilities cannot be dropped here")
    assert "Permission denied" in message(failed) or "may not be written" in message(failed)
    assert sorted(place.iterdir()) == before
