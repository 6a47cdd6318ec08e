"""Output folders: new, empty, or left behind by a run that was killed."""

from pathlib import Path

import pytest
from anda_codesign.experiments.folder import filling, is_free
from anda_codesign.formats import InputError


def test_a_folder_that_a_run_has_left_is_filled_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), filling(out):
        (out / "first").touch()
        raise RuntimeError
    assert is_free(out)
    with filling(out):
        (out / "second").touch()
    assert sorted(path.name for path in out.iterdir()) == ["first", "second"]
    with pytest.raises(InputError, match=r"^out: .*out is not empty"), filling(out):
        pass


def test_two_runs_do_not_fill_the_same_folder(tmp_path: Path) -> None:
    with (
        filling(tmp_path / "out"),
        pytest.raises(InputError, match="another run is at work"),
        filling(tmp_path / "out"),
    ):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match=r"^out: "), filling(tmp_path / "out"):
        pass
