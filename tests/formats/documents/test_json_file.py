from pathlib import Path

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.documents import json_file
from anda_codesign.formats.documents.border import border
from anda_codesign.formats.documents.json_file import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        (b"\xff\xfe", "can't decode byte"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
)
def test_texts_that_are_no_json(text: bytes, reason: str):
    message = rf"^file: is damaged \(.*{reason}.*\); copy it again$"
    with pytest.raises(InputError, match=message) as error, border("file: is damaged", "copy it again"):
        parse_json(text)
    assert "\n" not in str(error.value)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    monkeypatch.setattr(json_file, "MOST_BYTES", 8)
    for name, reason in (("none.json", "No such file"), ("a.json", "it has more than")):
        message = rf"^file: is damaged \({reason}.*\); copy it again$"
        with pytest.raises(InputError, match=message), border("file: is damaged", "copy it again"):
            read_json(tmp_path / name)
