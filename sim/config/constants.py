"""Constants with unit, node, source and uncertainty."""

from pydantic import AfterValidator, Field

from ...formats.documents.schema import Config


class Constant(Config):
    """A positive number and its origin."""

    value: float = Field(gt=0, ge=1e-30, le=1e30)
    unit: str
    node: str
    source: str
    uncertainty: str


def unit(name: str) -> AfterValidator:
    """A validator that accepts constants of one unit only."""

    def check(constant: Constant) -> Constant:
        if constant.unit != name:
            raise ValueError(f"unit is {constant.unit!r}; give the value in {name}")
        return constant

    return AfterValidator(check)
