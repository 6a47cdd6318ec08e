"""Numbers with a source."""

from pydantic import AfterValidator, Field

from .yaml_config import Config


class Constant(Config):
    """A number that can be traced."""

    value: float = Field(gt=0)
    unit: str
    node: str
    source: str
    uncertainty: str


def unit(name: str) -> AfterValidator:
    """A constraint on the unit of a constant."""

    def check(constant: Constant) -> Constant:
        if constant.unit != name:
            raise ValueError(f"unit is {constant.unit!r}; give the value in {name}")
        return constant

    return AfterValidator(check)
