"""The values of a built network: flat buffers in the layout of the engine's plan."""

import numpy as np

from relume.engine.plan import Plan
from relume.nn import checks, initializers


class Weights:
    """Parameters, gradients and optimizer state of some layers for inputs of one width."""

    def __init__(self, layers, n_features, dtype):
        self.layers, self.dtype = layers, dtype
        self._compile(n_features)
        self.parameters = np.zeros(self.plan.n_parameters, dtype)
        self.optimizer_state = np.zeros((2, self.plan.n_parameters), dtype)
        self.steps = 0
        self.gradients = None

    def _compile(self, n_features):
        self.plan = Plan(n_features, [layer.compiled() for layer in self.layers], self.dtype)

    def draw(self, rng):
        """Draw the initial weights."""
        for layer, (weight, _) in zip(self.layers, self._views(self.parameters), strict=True):
            weight[:] = initializers.draw(rng, layer.activation, *weight.shape)

    def _views(self, flat):
        """A layer's weights (n_in, n_out) and biases (n_out,) in a flat buffer, for each layer."""
        for start, n_in, n_out in self.plan.layout():
            end = start + n_in * n_out
            yield flat[start:end].reshape(n_in, n_out), flat[end : end + n_out]

    def named(self, flat):
        """Views of a flat buffer by the names and shapes of a torch.nn.Sequential."""
        pairs = zip(names_of(self.layers), self._views(flat), strict=True)
        return {
            key: value
            for (weight_name, bias_name), (weight, bias) in pairs
            for key, value in ((weight_name, weight.T), (bias_name, bias))
        }

    def are_finite(self):
        """Whether all parameters are finite."""
        return self.plan.all_finite(self.parameters)

    def snapshot(self):
        """All that training changes."""
        return self.parameters.copy(), self.optimizer_state.copy(), self.steps

    def restore(self, snapshot):
        """Be again as at the snapshot."""
        self.parameters[:], self.optimizer_state[:], self.steps = snapshot

    def __getstate__(self):
        """Values, copied, without the plan, which is compiled again, and without gradients."""
        state = {key: value for key, value in self.__dict__.items() if key != "plan"}
        parameters, optimizer_state, _ = self.snapshot()
        return state | {
            "n_features": self.plan.n_in,
            "parameters": parameters,
            "optimizer_state": optimizer_state,
            "gradients": None,
        }

    def __setstate__(self, state):
        n_features = state.pop("n_features")
        self.__dict__.update(state)
        self._compile(n_features)


def names_of(layers):
    """For each layer its names in a torch.nn.Sequential, where an activation is a module too."""
    index = 0
    for layer in layers:
        yield f"{index}.weight", f"{index}.bias"
        index += 1 if layer.activation is None else 2


def from_state_dict(state, layers, dtype, n_features=None):
    """Weights with the values of a state_dict; ValueError names the first entry that is wrong."""
    names = list(names_of(layers))
    expected = [name for pair in names for name in pair]
    for name in expected:
        if name not in state:
            raise ValueError(f"state lacks {name!r}; it must hold {', '.join(expected)}")
    for name in state:
        checks.choice(name, "a name in state", expected)
    values = {name: checks.finite(state[name], name, dtype) for name in expected}
    first = values[expected[0]]
    n_in = n_features or (first.shape[1] if first.ndim == 2 else -1)
    for layer, (weight, bias) in zip(layers, names, strict=True):
        for name, shape in ((weight, (layer.units, n_in)), (bias, (layer.units,))):
            if values[name].shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {values[name].shape}")
        n_in = layer.units
    weights = Weights(layers, first.shape[1], dtype)
    for name, view in weights.named(weights.parameters).items():
        view[...] = values[name]
    return weights
