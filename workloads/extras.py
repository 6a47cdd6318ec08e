"""Packages of the extras ``hf`` and ``eval``, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..formats import InputError


def import_extra(package: str, extra: str = "hf") -> Any:
    """Import a package of an extra, such as torch, transformers or tokenizers.

    Raises
    ------
    InputError
        The package is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise InputError(f"{package}: is not installed but needed here; install anda-codesign[{extra}]") from None
