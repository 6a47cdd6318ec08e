"""Markdown tables and the marked parts of pages."""

import pytest
from anda_codesign.experiments.markdown import markdown_table, renew_parts
from anda_codesign.formats import InputError

PAGE = "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\nkept\n<!-- end -->\n"


def test_columns_after_the_text_columns_are_aligned_right() -> None:
    table = markdown_table(["name", "kind", "n"], [["a|b", "x", 1]], text_columns=2)
    assert table == "| name | kind | n |\n| --- | --- | ---: |\n| a\\|b | x | 1 |"


def test_only_the_named_parts_of_a_page_change() -> None:
    assert renew_parts(PAGE, {"one": lambda: "new", "three": lambda: "absent"}) == PAGE.replace("old", "new")


def test_a_page_without_any_part_is_refused() -> None:
    with pytest.raises(InputError, match=r"^page: .*<!-- table: three -->"):
        renew_parts(PAGE, {"three": str})
