import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "zigzag_comparison.py"


def test_a_missing_zigzag_is_one_line_with_the_way_to_install_it():
    run = subprocess.run(
        [sys.executable, SCRIPT, "--python", "no-such-python"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    assert line.startswith("--python: no-such-python has no zigzag")
    assert "pip install zigzag-dse==3.9.1" in line
