"""The Anda format as the registry of activation formats lists it."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from .activation_protocol import Parameters
from .anda import AndaFormat


@dataclass(frozen=True)
class AndaActivationFormat(AndaFormat):
    """`AndaFormat` with the name, source and parameters that every registered format tells."""

    name: ClassVar[str] = "anda"
    source: ClassVar[str] = "Fang et al., HPCA 2025 (arXiv 2411.15982), section III"

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)
