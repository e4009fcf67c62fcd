"""The types of the rows of the kernels' table, as `ufuncs.elementwise` returns them."""

from typing import TypedDict


class TableRow(TypedDict):
    """The texts and directions of one function; the fields are described in kernels/table.pxd."""

    name: str
    alias: str
    layer: str
    summary: str
    formula: str
    derivative: str
    special: str
    reference: str
    parameters: str
    domain: str
    from_output_domain: str
    initializer: str
    values: str
    slopes: str
    ulp: int
    integers: bool
    directions: list[str]


class ActivationRow(TableRow):
    """The row of an activation."""

    index: int
    same_kernel_as: int
