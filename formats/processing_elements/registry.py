"""Registry of processing elements of a user's own, by name.

A class has a ``name`` and, as members, what an architecture file says of its element under ``processing_element``.
"""

from typing import Any

from ..registry import Registry

elements: Registry[Any] = Registry("processing_element", "processing element")
