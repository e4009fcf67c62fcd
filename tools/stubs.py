"""Write the stubs of the modules whose names are generated from the kernels' table.

The blocks of src/relume/kernels/**/*.pxi are read as text, so nothing needs to be compiled or
imported. A stub contains the names generated from the table and the annotated definitions in the
module's source. setup.py runs this at every build; the stubs are not kept in git.

    python tools/stubs.py
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "relume"

ROW = re.compile(
    r'^row = new_(?P<gated>gated_)?row\(b"(?P<name>\w+)"\)\n(?P<block>.*?)(?=^row = new_|\Z)',
    re.MULTILINE | re.DOTALL,
)
TEXT = re.compile(r'^row\.(\w+) = \(?((?:\s*b"(?:[^"\\]|\\.)*")+)', re.MULTILINE)
DIRECTION = re.compile(r"\(&row\.(forward|backward|backward_from_output|parameter_gradient),")

INPUTS = {
    "forward": ["x"],
    "backward": ["grad", "x"],
    "backward_from_output": ["grad", "y"],
}
# (types of the inputs, type of a parameter, type of the result). The first match counts. Arrays
# come before `Other`, the objects that handle ufuncs themselves, because arrays match it too.
OVERLOADS = {
    1: [
        (["Floating"], "float", "Floating"),
        (["float"], "float", "np.float64"),
        (["Anything"], "Anything", "Array"),
        (["NDArray[Any]"], "ArrayLike", "NDArray[Any]"),
        (["Other"], "Anything", "Other"),
        (["ArrayLike"], "ArrayLike", "NDArray[Any]"),
    ],
    2: [
        (["FloatArray | float", "FloatArray"], "float", "FloatArray"),
        (["FloatArray", "float"], "float", "FloatArray"),
        (["float", "float"], "float", "np.float64"),
        (["Anything", "Anything"], "Anything", "Array"),
        (["ArrayLike", "NDArray[Any]"], "ArrayLike", "NDArray[Any]"),
        (["NDArray[Any]", "ArrayLike"], "ArrayLike", "NDArray[Any]"),
        (["Other | float", "Other"], "Anything", "Other"),
        (["Other", "float"], "Anything", "Other"),
        (["ArrayLike", "ArrayLike"], "ArrayLike", "NDArray[Any]"),
    ],
}
IMPORTS = [
    "from typing import Any, Protocol, Unpack, overload",
    "import numpy as np",
    "from numpy.typing import ArrayLike, DTypeLike, NDArray",
    "from relume.functional.typing import Anything, Array, FloatArray, Floating",
    "from relume.functional.typing import Options, Other, Ufunc",
]


class Parameter(NamedTuple):
    """A parameter, as source texts. An empty annotation means that it follows from the inputs."""

    name: str
    default: str
    annotation: str = ""


class Row(NamedTuple):
    """The entries of a row that the stubs depend on."""

    name: str
    alias: str
    layer: str
    parameters: list[Parameter]
    directions: set[str]
    gated: bool


def read_rows():
    """The rows of the table, in the order of files and blocks."""
    for path in sorted((PACKAGE / "kernels").rglob("*.pxi")):
        for match in ROW.finditer(path.read_text(encoding="utf-8")):
            texts = {
                field: ast.literal_eval(f"({text})").decode()
                for field, text in TEXT.findall(match["block"])
            }
            pairs = [pair.partition("=") for pair in texts.get("parameters", "").split(",")]
            yield Row(
                name=match["name"],
                alias=texts.get("alias", ""),
                layer=texts.get("layer", ""),
                parameters=[Parameter(name, default) for name, _, default in pairs if name],
                directions=set(DIRECTION.findall(match["block"])),
                gated=bool(match["gated"]),
            )


# -- definitions generated from the table ---------------------------------------------------------


def with_defaults(parameters, annotation="float"):
    """The parameters as in a signature."""
    return [
        f"{name}: {own or annotation}" + (f" = {default}" if default else "")
        for name, default, own in parameters
    ]


def keywords(result):
    """The keyword arguments of a ufunc, without `dtype` if the inputs determine the result."""
    out = "out: Array | tuple[Array]" if result == "Array" else "out: None = None"
    if result in ("Floating", "FloatArray", "np.float64"):
        return [out, "**kwargs: Unpack[Options]"]
    return [out, "dtype: DTypeLike | None = None", "**kwargs: Unpack[Options]"]


def ufunc_class(n_in):
    """A Protocol for the ufuncs with n_in inputs."""
    lines = [f"class _Ufunc{n_in}(Ufunc, Protocol):"]
    for types, _, result in OVERLOADS[n_in]:
        inputs = [f"x{i}: {annotation}" for i, annotation in enumerate(types, 1)]
        out, *others = keywords(result)
        star = ["*"] if len(others) > 1 else []
        arguments = ", ".join(["self", *inputs, "/", out, *star, *others])
        lines += ["    @overload", f"    def __call__({arguments}) -> {result}: ..."]
    return lines


def function(name, inputs, parameters):
    """A function over a ufunc."""
    lines = []
    for types, annotation, result in OVERLOADS[len(inputs)]:
        data = [f"{key}: {kind}" for key, kind in zip(inputs, types, strict=True)]
        arguments = [*data, *with_defaults(parameters, annotation), "*", *keywords(result)]
        lines += ["@overload", f"def {name}({', '.join(arguments)}) -> {result}: ..."]
    return lines


def functions(row):
    """The public functions of a row as (name, lines of the stub)."""
    learnable = "parameter_gradient" in row.directions  # its backward function is handwritten
    for direction in ["forward"] if learnable else sorted(row.directions):
        suffix = "" if direction == "forward" else f"_{direction}"
        for name in filter(None, (row.name, row.alias)):
            if row.parameters and not learnable:
                yield name + suffix, function(name + suffix, INPUTS[direction], row.parameters)
            else:
                n_in = len(INPUTS[direction]) + len(row.parameters)
                yield name + suffix, [f"{name}{suffix}: _Ufunc{n_in}"]


def gated_functions(row):
    """The two functions of a gated row, each for two arrays and for one that is split."""
    gradients = [("FloatArray", "FloatArray"), ("ArrayLike", "NDArray[Any]")]
    tail = "out: Any = None, dtype: DTypeLike | None = None, **kwargs: Unpack[Options]"
    forward, backward = [], []
    for (a, b), _, result in OVERLOADS[2]:
        arguments = ", ".join([f"a: {a}, b: {b}, *", *keywords(result)])
        forward += ["@overload", f"def {row.name}({arguments}) -> {result}: ..."]
    for (x,), _, result in OVERLOADS[1]:
        arguments = ", ".join([f"a: {x}, b: None = None, *, axis: int = -1", *keywords(result)])
        forward += ["@overload", f"def {row.name}({arguments}) -> {result}: ..."]
    for kind, result in gradients:
        operands = f"grad: {kind}, a: {kind}"
        for arguments, returned in (
            (f"{operands}, b: {kind}, *, {tail}", f"tuple[{result}, {result}]"),
            (f"{operands}, b: None = None, *, axis: int = -1, {tail}", result),
        ):
            backward += ["@overload", f"def {row.name}_backward({arguments}) -> {returned}: ..."]
    return [(row.name, forward), (f"{row.name}_backward", backward)]


def layer_class(row):
    """The class in relume.nn for a row's activation."""
    arguments = ", ".join(["self", *with_defaults(row.parameters)])
    return [f"class {row.layer}(Activation):", f"    def __init__({arguments}) -> None: ..."]


# -- handwritten definitions ----------------------------------------------------------------------


def by_hand(body):
    """The public definitions of a module or class without their code, as (name, lines)."""
    overloaded = {node.name for node in body if "overload" in decorators(node)}
    for node in body:
        name, lines = "", []
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines = [ast.unparse(node)]
        elif isinstance(node, ast.AnnAssign):
            name = node.target.id
            lines = [f"{name}: {ast.unparse(node.annotation)}"]
        elif isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0])
            lines = [f"{name}: Any"] if name.isidentifier() and name != "__all__" else []
        elif isinstance(node, ast.ClassDef):
            name = node.name
            inner = [line for _, lines in by_hand(node.body) for line in lines]
            bases = ", ".join(map(ast.unparse, node.bases))
            lines = [f"class {name}({bases}):", *(f"    {line}" for line in inner)]
        elif isinstance(node, ast.FunctionDef):
            name = node.name
            if name not in overloaded or "overload" in decorators(node):
                lines = signature(node)
        if not name.startswith("_") or name.endswith("__"):
            yield name, lines


def decorators(node):
    """The names of a definition's decorators."""
    return [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]


def signature(node):
    """A function without its code.

    A function over a ufunc that has no annotated result gets the overloads of a ufunc.
    """
    arguments = node.args
    inputs = [a.arg for a in arguments.args if a.arg in ("x", "grad", "y")]
    others = arguments.args[len(inputs) :]
    if arguments.kwarg and node.returns is None and all(a.annotation for a in others):
        defaults = map(ast.unparse, arguments.defaults)
        parameters = [
            Parameter(a.arg, default, ast.unparse(a.annotation))
            for a, default in zip(others, defaults, strict=True)
        ]
        return function(node.name, inputs, parameters)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    heads = [f"@{decorator}" for decorator in decorators(node)]
    return [*heads, f"def {node.name}({ast.unparse(arguments)}){result}: ..."]


def exported(module):
    """The string literals in a module's `__all__`."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
    return []


# -- the files ------------------------------------------------------------------------------------


def stub(source, generated):
    """The text of a module's stub; `generated` has (name, lines of the stub) from the table."""
    module = ast.parse((PACKAGE / source).read_text(encoding="utf-8"))
    written = list(by_hand(module.body))
    names = {name for name, _ in written if name}
    public = sorted({*exported(module), *(name for name, _ in generated if name)})
    generated = [(name, lines) for name, lines in generated if name not in names]
    return "\n".join(
        [
            f'"""Written by tools/stubs.py from the kernels\' table and {source}."""',
            *(line for _, lines in [*written, *generated] for line in lines),
            "__all__ = [",
            *(f'    "{name}",' for name in public),
            "]\n",
        ]
    )


def main():
    """Write the stubs that have changed."""
    rows = [row for row in read_rows() if not row.gated]
    gated = [row for row in read_rows() if row.gated]
    types = [("", IMPORTS)]
    ufuncs = [("", ufunc_class(n_in)) for n_in in OVERLOADS]
    for source, generated in (
        (
            "functional/activations.py",
            [*types, *ufuncs, *(f for row in rows for f in functions(row))],
        ),
        ("functional/gated.py", [*types, *(f for row in gated for f in gated_functions(row))]),
        ("nn/layers/activations.py", [(row.layer, layer_class(row)) for row in rows if row.layer]),
    ):
        path, text = (PACKAGE / source).with_suffix(".pyi"), stub(source, generated)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
