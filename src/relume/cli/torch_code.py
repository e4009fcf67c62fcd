"""The code of a torch.nn.Sequential that computes what a network does.

Its modules have the parameters of `Network.state_dict`. PyTorch has no module for some layers:
the code then begins with classes for those.
"""

from typing import Any

from relume import nn
from relume.cli.terminal import quoted
from relume.nn.losses import Quantile

CODE = '''\
"""The network of {model} in PyTorch, exported by relume {version}.

It gives {outputs}.
"""

import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
{classes}

def network():
    """The modules, with the weights that PyTorch draws."""
    net = nn.Sequential({modules}
    ){dtype}
{more}    return net


def load():
    """The network with the numbers of the file beside this one, ready for prediction."""
    net = network()
    net.load_state_dict(load_file(pathlib.Path(__file__).with_suffix(".safetensors")))
    return net.eval()
'''
OUTPUTS = {
    "logits": "logits of the classes: torch.softmax(y, 1) are the probabilities",
    "log_odds": "log-odds: torch.sigmoid(y) are the probabilities",
    "log_rates": "logarithms: torch.exp(y) are the predictions",
}
# Classes for what PyTorch has no module for; the comments name what relume has.
CLASSES = {
    "ReLUSquared": """
class ReLUSquared(nn.Module):
    def forward(self, x):
        return torch.relu(x).square()
""",
    "QuickGELU": """
class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)
""",
    "Squareplus": """
class Squareplus(nn.Module):
    def __init__(self, b):
        super().__init__()
        self.b = b

    def forward(self, x):
        return (x + torch.sqrt(x.square() + self.b)) / 2
""",
    "Sine": """
class Sine(nn.Module):
    def __init__(self, omega):
        super().__init__()
        self.omega = omega

    def forward(self, x):
        return torch.sin(self.omega * x)
""",
    "Scale": """
class Scale(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(units))

    def forward(self, x):
        return self.weight * x
""",
    "Standardize": '''
class Standardize(nn.Module):
    """Subtracts the mean in float64, so that large inputs keep their digits."""

    def __init__(self, units, dtype):
        super().__init__()
        self.register_buffer("mean", torch.zeros(units, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(units, dtype=dtype))

    def forward(self, x):
        return (x - self.mean).to(self.scale.dtype) / self.scale
''',
    "Residual": """
class Residual(nn.Module):
    def __init__(self, layers, projection=None):
        super().__init__()
        self.layers, self.projection = layers, projection

    def forward(self, x):
        return self.layers(x) + (x if self.projection is None else self.projection(x))
""",
    "Targets": '''
class Targets(nn.Module):
    """From outputs of mean 0 and standard deviation 1 to the units of the targets."""

    def __init__(self, units):
        super().__init__()
        self.register_buffer("mean", torch.zeros(units, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(units, dtype=torch.float64))

    def forward(self, y):
        return y * self.scale + self.mean
''',
}


class _Writer:
    """The code of layers, and the names of the classes that it needs."""

    def __init__(self, net: nn.Network) -> None:
        self.dtype, self.classes = net.dtype.name, set[str]()

    def own(self, name: str, *arguments: Any) -> str:
        """A call of one of CLASSES."""
        self.classes.add(name)
        return f"{name}({', '.join(map(str, arguments))})"

    def modules(self, layers: Any, width: int, indent: str) -> tuple[list[str], int]:
        """The code of the modules of layers for an input of some width, and the output's."""
        lines: list[str] = []
        for layer in layers:
            if isinstance(layer, nn.Residual):
                inner, after = self.modules(layer.layers, width, f"{indent}    ")
                code = f"nn.Sequential({''.join(inner)}\n{indent})"
                if after != width:
                    code += f", nn.Linear({width}, {after}, bias=False)"
                lines.append(f"\n{indent}{self.own('Residual', code)},")
                width = after
            elif isinstance(layer, nn.Dense):
                bias = "" if layer.use_bias else ", bias=False"
                lines.append(f"\n{indent}nn.Linear({width}, {layer.units}{bias}),")
                width = layer.units
                if layer.activation is not None:
                    lines.append(f"\n{indent}{self.module(layer.activation, width)},")
            else:
                lines.append(f"\n{indent}{self.module(layer, width)},")
        return lines, width

    def module(self, layer: Any, width: int) -> str:
        """The code of a layer that keeps the width of its input."""
        name, config = type(layer).__name__, layer.config()
        if name in ("ReLUSquared", "QuickGELU"):
            return self.own(name)
        if name in ("Squareplus", "Sine"):
            return self.own(name, *config.values())
        match layer:
            case nn.GELUTanh():
                return 'nn.GELU(approximate="tanh")'
            case nn.FATReLU(threshold=threshold):
                return f"nn.Threshold({threshold}, 0.0)"
            case nn.PReLU(init=init, per_unit=per_unit):
                return f"nn.PReLU({width if per_unit else 1}, init={init})"
            case nn.RReLU(lower=lower, upper=upper):
                return f"nn.RReLU({lower}, {upper})"
            case nn.ActivityL1():
                return "nn.Identity()"
            case nn.Dropout(rate=rate):  # AlphaDropout too
                return f"nn.{name}({rate})"
            case nn.BatchNorm(eps=eps, momentum=momentum):
                return f"nn.BatchNorm1d({width}, eps={eps}, momentum={momentum})"
            case nn.LayerNorm(eps=eps):
                return f"nn.LayerNorm({width}, eps={eps})"
            case nn.GroupNorm(groups=groups, eps=eps):
                return f"nn.GroupNorm({groups}, {width}, eps={eps})"
            case nn.Scale():
                return self.own("Scale", width)
            case nn.Standardize():  # without a mean it is 0
                return self.own("Standardize", width, f"torch.{self.dtype}")
        if not isinstance(layer, nn.Activation) or not type(layer).__module__.startswith("relume"):
            raise ValueError(f"layers must be relume's to be exported, got {layer!r}")
        return f"nn.{name}({', '.join(f'{key}={value}' for key, value in config.items())})"


def code_of(net: nn.Network, model: str) -> str:
    """The whole file.

    Parameters
    ----------
    net : Network
        Built.
    model : str
        Name of the model's file.
    """
    import relume

    if isinstance(net.loss, Quantile) and net.loss.n_quantiles > 1:
        outputs = "quantiles, not sorted: torch.sort(y, 1) are the predictions"
    else:
        outputs = OUTPUTS.get(net.loss.outputs, "the predictions")
    writer = _Writer(net)
    lines, width = writer.modules(net.layers, net._built().plan.n_in, " " * 8)
    more = ""
    if net.scale_targets:
        more = f'    net.add_module("targets", {writer.own("Targets", width)})\n'
    classes = "".join(f"\n{CLASSES[name]}" for name in CLASSES if name in writer.classes)
    return CODE.format(
        model=quoted(model), version=relume.__version__, outputs=outputs, classes=classes,
        modules="".join(lines), dtype=".double()" if net.dtype == "float64" else "", more=more,
    )  # fmt: skip
