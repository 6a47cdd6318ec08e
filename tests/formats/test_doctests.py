"""Every example in a docstring of the installed packages runs and prints what it says."""

import doctest
import importlib
import pkgutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGES = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]


def modules() -> list[str]:
    """All modules of all packages, the packages among them."""
    names = list(PACKAGES)
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None, f"{package} is not installed"
        names += [f"{package}.{module.name}" for module in pkgutil.iter_modules(spec.submodule_search_locations)]
    return sorted(set(names) - {f"{package}.__main__" for package in PACKAGES})


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_walk_finds_modules_with_examples() -> None:
    assert {"anda_codesign.formats.weights.bit_packing", "anda_codesign.formats.weights.spqr.layout"} <= set(modules())
    assert doctest.testmod(importlib.import_module("anda_codesign.formats.weights.bit_packing")).attempted == 3
