"""
Weights from and to PyTorch, ONNX
=================================

``state_dict`` has the names and shapes of the ``torch.nn.Sequential`` that computes the same. So
weights travel by name, in both directions, and ``net.to_onnx`` writes a file that ONNX Runtime and
many other programs run.

**In short**: ``net.load_state_dict({k: v.numpy() for k, v in model.state_dict().items()})``, and
``net.to_onnx(path)``.
"""

# %%
# A trained network
# -----------------

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file

from relume import datasets, nn

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")
net = nn.Network([nn.Dense(32), nn.BatchNorm(), nn.GELU(), nn.Dense(10)], seed=0)
net.fit(X, y, epochs=10)
for name, value in net.state_dict().items():
    print(f"{name:15} {value.shape}")

# %%
# To and from PyTorch
# -------------------
#
# The same network in PyTorch has the same names:
#
# .. code-block:: python
#
#     import torch
#
#     model = torch.nn.Sequential(
#         torch.nn.Linear(64, 32),
#         torch.nn.BatchNorm1d(32),
#         torch.nn.GELU(),
#         torch.nn.Linear(32, 10),
#     )
#     state = {name: torch.as_tensor(value) for name, value in net.state_dict().items()}
#     model.load_state_dict(state)                      # to PyTorch
#
#     state = {name: value.numpy() for name, value in model.state_dict().items()}
#     net.load_state_dict(state)                        # from PyTorch
#
# No PyTorch is needed to pass weights through a file: ``net.save`` writes safetensors, which
# ``safetensors.torch.load_file`` reads.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
net.save(path / "digits.safetensors")
tensors = load_file(path / "digits.safetensors")
same = all(np.array_equal(tensors[name], value) for name, value in net.state_dict().items())
print("the file's weights equal the network's:", same)

# %%
# To ONNX
# -------
#
# A classifier gives ``label`` and ``probabilities``; ``output="raw"`` gives the logits.

net.to_onnx(path / "digits.onnx")
model = onnx.load(path / "digits.onnx")
print("operators:", [node.op_type for node in model.graph.node])

label, probabilities = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: X})
difference = np.abs(probabilities - net.predict_proba(X))
print(
    f"labels equal: {(label == net.predict(X)).all()}; largest difference {difference.max():.1e}"
)

# %%
# How close the two are
# ---------------------
#
# Two programs add in another order, so the last bits differ. Here is by how much, beside the
# spacing of float32 numbers near 1.

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(np.log10(np.maximum(difference.ravel(), 1e-12)), bins=60)
axes.axvline(np.log10(np.finfo("float32").eps), color="tab:red", label="spacing of float32 at 1")
axes.set(
    title="relume and ONNX's reference, difference of probabilities",
    xlabel="log10 of the difference (-12: equal)",
    ylabel="probabilities",
)
axes.legend()
plt.show()
folder.cleanup()

# %%
# Next
# ----
#
# - :doc:`/migrating` shows the same tasks in scikit-learn, Keras, PyTorch and relume.
# - ``relume export model.safetensors --to onnx`` does it on the command line:
#   :doc:`/command_line`.
