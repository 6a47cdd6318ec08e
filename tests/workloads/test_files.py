from pathlib import Path

import pytest
from anda_codesign.workloads.files import cached, read_checked, unfinished, whole_file


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_text("before")
    with whole_file(path) as part:
        part.write_text("after")
        assert path.read_text() == "before"
        assert unfinished(tmp_path) == [part]  # what a run that is killed here leaves
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_fails(tmp_path: Path) -> None:
    def write() -> None:
        with whole_file(tmp_path / "name") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_the_longest_length_fits(tmp_path: Path) -> None:
    with whole_file(tmp_path / ("n" * 255)) as part:
        part.write_text("")
    assert unfinished(tmp_path) == []


def test_a_checked_file_with_a_changed_bit_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "name"
    assert read_checked(path) is None
    assert cached(path, lambda: b"made once") == b"made once"
    assert cached(path, lambda: b"made twice") == b"made once"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert read_checked(path) is None
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_checked(path) is None
    assert cached(path, lambda: b"") == b""
    assert read_checked(path) == b""
