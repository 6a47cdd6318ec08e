"""The wheel and the source distribution, as a user installs them: in an environment that has nothing of this project."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from tools import absent

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DATA = {".yaml", ".json", ".csv", ".cfg", ".html", ".js", ".cpp", ".v", ".vlt"}
ROOMS = ("formats", "workloads", "rtl", "sim", "experiments")
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # setuptools changes the arguments
print(build_meta.build_wheel(out))
print(build_meta.build_sdist(out))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The wheel, the source distribution, and what setuptools said; built from the tracked files."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        absent("this is no git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    tools = tmp_path_factory.mktemp("tools")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", tools]
    if subprocess.run([*pip, *PROJECT["build-system"]["requires"]], capture_output=True, check=False).returncode:
        absent("pip cannot fetch setuptools")
    environment = os.environ | {"PYTHONPATH": str(tools)}
    command = [sys.executable, "-c", BUILD, out]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz")), done.stdout + done.stderr


def _contents() -> set[str]:
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in {".py", ".typed", *DATA})
    return {f"anda_codesign/{path.relative_to(ROOT).as_posix()}" for path in found}


@pytest.mark.slow
def test_both_hold_every_module_and_data_file_without_a_warning(built: tuple[Path, Path, str]):
    wheel, source, said = built
    assert "is absent from the `packages` configuration" not in said and "SetuptoolsDeprecationWarning" not in said
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert _contents() <= names
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.removeprefix("anda_codesign/") for name in _contents()} <= inside
    assert {"LICENSE", "README.md", "pyproject.toml"} <= inside
    version = PROJECT["project"]["version"]
    assert (
        wheel.name == f"anda_codesign-{version}-py3-none-any.whl" and source.name == f"anda_codesign-{version}.tar.gz"
    )


@pytest.mark.slow
def test_the_wheel_answers_in_an_environment_of_its_own(built: tuple[Path, Path, str], tmp_path: Path):
    """Installed without the network: the dependencies are those of this environment, the project's modules the wheel's."""
    wheel, *_ = built
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", place, wheel], check=True)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import anda_codesign\n"
        "assert anda_codesign.__file__.startswith(sys.path[0]), anda_codesign.__file__\n"
        "from anda_codesign.experiments.cli import main; sys.exit(main())"
    )

    def anda(*arguments: str) -> str:
        command = [sys.executable, "-S", "-c", f"import site; site.addsitedir({site!r})\n{program}", place, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    site = str(Path(pytest.__file__).parents[1])
    assert anda("--version") == f"anda {PROJECT['project']['version']}\n"
    assert "8,245" in anda("simulate", "--gemm", "64x512x512", "--m", "7")


def test_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
