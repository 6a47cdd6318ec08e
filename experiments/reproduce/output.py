"""Output folder of a reproduction: plots and the scoreboard. A later run replaces them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...formats import InputError
from ...workloads.files import locked
from ..folder import is_free, make_folder, writing
from .drawing import save_comparison_figure
from .figures.comparison import FigureResult
from .scoreboard import TITLE, scoreboard

FIGURES = "figures"
MARK = ".anda-reproduce"
"""Marker file of folders that this program may overwrite."""


@contextmanager
def opened_folder(folder: Path) -> Generator[None]:
    """Make the output folder, before any computation, and keep it for this run as long as the context lasts.

    Raises
    ------
    InputError
        The folder holds other files, cannot be made, or another run is at work in it.
    """
    if not is_free(folder) and not (folder / MARK).is_file():
        raise InputError(f"out: {folder} holds other files; name a new or empty folder")
    make_folder(folder)
    with writing(folder):
        (folder / MARK).touch()
    with locked(folder):
        make_folder(folder / FIGURES)
        yield


def check_page(page: Path | None) -> None:
    """Check, before any computation, that a scoreboard replaces no other file.

    Raises
    ------
    InputError
        The file is no scoreboard, or its folder does not exist.
    """
    if page is None:
        return
    if page.exists() and not (page.is_file() and page.read_bytes().startswith(TITLE.encode())):
        raise InputError(f"scoreboard: {page} is not a scoreboard and is not overwritten; name another file")
    if not page.parent.is_dir():
        raise InputError(f"scoreboard: there is no folder {page.parent}; make it or name another file")


def write_plots(results: Sequence[FigureResult], folder: Path) -> None:
    """Draw all comparisons into the folder.

    Raises
    ------
    InputError
        A plot cannot be written.
    """
    with writing(folder):
        for result in results:
            save_comparison_figure(result, folder / FIGURES)


def write_scoreboard(results: Sequence[FigureResult], folder: Path, page: Path | None = None) -> Path:
    """Write the scoreboard, by default into the folder beside its plots, and return its path.

    Raises
    ------
    InputError
        The page cannot be written.
    """
    path = page or folder / "scoreboard.md"
    try:
        path.write_text(scoreboard(results, pictures=page is None), "utf-8")
    except OSError as error:
        raise InputError(f"scoreboard: {path} cannot be written ({error.strerror}); name another file") from None
    return path
