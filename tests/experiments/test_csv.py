"""Tables as CSV: no text becomes a formula of a spreadsheet."""

import csv
import io

import pandas as pd
from anda_codesign.experiments.files import csv_text


def test_texts_that_a_spreadsheet_would_run():
    texts = ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1", "a=1", "", None]
    frame = pd.DataFrame({"name": texts, "number": [-1.5] * len(texts)})
    rows = list(csv.reader(io.StringIO(csv_text(frame), newline="")))[1:]
    assert [row[0] for row in rows] == [*(f"'{text}" for text in texts[:5]), " =1", "a=1", "", ""]
    assert {row[1] for row in rows} == {"-1.5"}
    assert frame["name"].tolist()[:-1] == texts[:-1]
