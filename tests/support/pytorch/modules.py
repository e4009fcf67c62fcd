"""relume's layers as PyTorch's modules, from their configuration alone."""

from relume import nn


def residual(torch, layer, width):
    """A module with the names that the docstring of nn.Residual gives."""

    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, out = sequential(torch, layer.layers, width)
            self.projection = None
            if out != width:
                self.projection = torch.nn.Linear(width, out, bias=False)

        def forward(self, x):
            return self.layers(x) + (x if self.projection is None else self.projection(x))

    module = Residual()
    return module, width if module.projection is None else module.projection.out_features


def sine(torch, layer):
    class Sine(torch.nn.Module):
        def forward(self, x):
            return torch.sin(layer.omega * x)

    return Sine()


def standardize(torch, width):
    class Standardize(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("scale", torch.ones(width))

        def forward(self, x):
            return (x - self.mean) / self.scale

    return Standardize()


def scale(torch, width):
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(width))

        def forward(self, x):
            return x * self.weight

    return Scale()


def module_of(torch, layer, width):
    """One layer, and the width behind it."""
    if isinstance(layer, nn.Dense):
        return torch.nn.Linear(width, layer.units, bias=layer.use_bias), layer.units
    if isinstance(layer, nn.Residual):
        return residual(torch, layer, width)
    if isinstance(layer, nn.Sine):
        return sine(torch, layer), width
    if isinstance(layer, nn.Standardize):
        return standardize(torch, width), width
    if isinstance(layer, nn.FATReLU):
        return torch.nn.Threshold(layer.threshold, 0.0), width
    if isinstance(layer, nn.GELUTanh):
        return torch.nn.GELU(approximate="tanh"), width
    if isinstance(layer, nn.PReLU):
        return torch.nn.PReLU(width if layer.per_unit else 1), width
    if isinstance(layer, nn.RReLU):
        return torch.nn.RReLU(layer.lower, layer.upper), width
    if isinstance(layer, nn.BatchNorm):
        return torch.nn.BatchNorm1d(width, layer.eps, layer.momentum), width
    if isinstance(layer, nn.LayerNorm):
        return torch.nn.LayerNorm(width, layer.eps), width
    if isinstance(layer, nn.GroupNorm):
        return torch.nn.GroupNorm(layer.groups, width, layer.eps), width
    if isinstance(layer, nn.Scale):
        return scale(torch, width), width
    if isinstance(layer, nn.Dropout):  # AlphaDropout too
        return getattr(torch.nn, type(layer).__name__)(layer.rate), width
    return getattr(torch.nn, type(layer).__name__)(**layer.config()), width


def sequential(torch, layers, width):
    """A torch.nn.Sequential, and its number of outputs."""
    modules = []
    for layer in layers:
        module, width = module_of(torch, layer, width)
        modules.append(module)
        if isinstance(layer, nn.Dense) and layer.activation is not None:
            modules.append(module_of(torch, layer.activation, width)[0])
    return torch.nn.Sequential(*modules), width
