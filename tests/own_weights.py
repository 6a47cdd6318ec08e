"""A weight format of a user's own, as the files that `--plugin` names: that of docs/weight_formats.md, and liars."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/weight_formats.md"
FILE = next(text for text in re.findall(r"```py\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "@register" in text)
"""``my_weights.py`` of the page."""
