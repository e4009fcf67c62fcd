"""
Compare activation functions
============================

Look at ReLU, leaky ReLU, ELU, GELU, SiLU and their derivatives side by side before you choose an
activation for a network.

.. meta::
   :keywords: choose an activation function, ReLU vs leaky ReLU vs GELU, derivative, gradient,
      plot, curve, saturate, vanishing gradient
"""

import numpy as np

import relume
from relume import plots

# %%
# Eight common activations
# ------------------------
# The solid line is the function, the dashed line its derivative. Below 0, ReLU's derivative is 0:
# a unit whose input is negative for all data gets no gradient and stops learning. Leaky ReLU, ELU,
# GELU and SiLU let some gradient through. Sigmoid and tanh are flat on both sides, so gradients
# shrink with each layer that saturates.

figure = plots.activations()

# %%
# Any other function of relume can be drawn too; the API reference has a picture of each.

figure = plots.activations(["relu6", "hardswish", "mish", "squareplus"])

# %%
# The values behind the curves
# ----------------------------
# An activation is a NumPy ufunc, so it works on arrays of any shape. Its gradient is a function of
# its own: ``relu_backward(grad, x)`` multiplies an upstream gradient by the derivative at ``x``.

x = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
for name in ("relu", "leaky_relu", "gelu", "tanh"):
    value = getattr(relume, name)(x)
    slope = getattr(relume, f"{name}_backward")(np.ones_like(x), x)
    print(f"{name:<12} value", np.round(value, 3), " derivative", np.round(slope, 3))

# %%
# Which to take
# -------------
# Start with ``relu``: it is the fastest and its zeros save time. If many units die, take
# ``leaky_relu``; :doc:`/diagnostics` shows how to find out. ``gelu`` and ``silu`` are
# smooth, which suits targets that are smooth functions.
