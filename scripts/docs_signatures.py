"""Griffe extension: public functions with the keywords that the program builds from its options.

Griffe reads source text, where such a function takes `**options`. The keywords, their types and their descriptions stand in the
running program alone.
"""

import importlib
import inspect
from typing import Any

from griffe import Docstring, Extension, Function, Parameter, ParameterKind, Parameters


class OptionSignatures(Extension):
    """Replaces parameters and docstring of every function whose signature is made while the program runs."""

    def on_function_instance(self, *, func: Function, **_: Any) -> None:
        module = importlib.import_module(func.module.path)
        found = getattr(module, func.name, None)
        if not hasattr(found, "__signature__") or func.parent is not func.module:
            return
        func.parameters = Parameters(
            *(
                Parameter(
                    each.name,
                    annotation=None,
                    kind=ParameterKind(each.kind.description),
                    default=None if each.default is each.empty else repr(each.default),
                )
                for each in inspect.signature(found).parameters.values()
            )
        )
        func.docstring = Docstring(inspect.getdoc(found) or "", parent=func)
