"""Ways to count the power of idle elements."""

from typing import Literal, TypeAlias

Idle: TypeAlias = Literal["measured", "full", "zero"]
"""Power of elements without operands: that of our gates, that of work as published, or none."""
