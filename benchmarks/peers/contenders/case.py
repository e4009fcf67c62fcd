"""The contenders of one function in the table.

An entry gives (forward, backward) for each library that has the function or can be brought to
compute it; of several ways, a list, the fastest counts. They are statements over these names:

x (a, b, w)     the input (two inputs if gated; the weight), g the gradient by the output, y it
out             where the forward result goes; in the backward direction dx (dw, da, db)
t, u, m, s      scratch: two arrays and a mask as the input is, and one of its sums along `axis`

A backward may use x or y, as its library does, and not what a forward pass kept beside these
(but log_sigmoid's buffer, which PyTorch demands). For JAX there is only the function; its backward
is the compiled vjp. For numexpr it is an expression of each result, separated by semicolons.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A function and its contenders; the entry of a library without it is empty."""

    numpy: tuple = ("", "")
    torch: tuple = ("", "")
    jax: str | tuple = ""
    numexpr: tuple = ("", "")
    relume: tuple = ()  # if empty, the functions of this name; from input and from output
    arguments: str = ""  # of relume's functions, after the arrays
    kind: str = "flat"  # which arrays: see arrays.py
    axis: int = -1
    outputs: tuple = ("out",)
    gradients: tuple = ("dx",)
    random: bool = False  # the results differ

    def ways(self, library, name, backward):
        """The statements, or numexpr's expressions, by which a library computes a direction."""
        entry = getattr(self, library)
        if library == "relume" and not entry:
            arguments = self.arguments
            entry = (
                f"relume.{name}(x{arguments}, out=out)",
                [
                    f"relume.{name}_backward(g, x{arguments}, out=dx)",
                    f"relume.{name}_backward_from_output(g, y{arguments}, out=dx)",
                ],
            )
        if isinstance(entry, str):
            entry = entry, entry
        ways = entry[backward]
        return [way for way in ([ways] if isinstance(ways, str) else ways) if way]
