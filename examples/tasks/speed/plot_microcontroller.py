"""
A network on a microcontroller
==============================

A small network fits into a chip that costs a euro. relume trains it, ``to_sklearn`` hands it to
`emlearn <https://emlearn.org>`_, and emlearn writes C code without dynamic memory. This page
compiles that code for this machine, and compares each prediction.

**In short**: ``emlearn.convert(net.to_sklearn()).save(file="net.h", name="net")``.
"""

# %%
# A small network
# ---------------

import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import emlearn
import matplotlib.pyplot as plt
import numpy as np

from relume import nn
from relume.datasets.held_out import load_digits_split

X, y, X_test, y_test = load_digits_split()
sizes = [4, 8, 16, 32]
networks = {}
for size in sizes:
    networks[size] = nn.Network([nn.Dense(size, "relu"), nn.Dense(10)], seed=0)
    networks[size].fit(X, y, epochs=40)
net = networks[16]

# %%
# C code
# ------

folder = tempfile.TemporaryDirectory()
header = Path(folder.name) / "net.h"
emlearn.convert(net.to_sklearn(), method="inline").save(file=str(header), name="net")
print(f"{len(header.read_text().splitlines())} lines of C")

program = """
#include <stdio.h>
#include "net.h"
int main(void) {
    float x[64];
    for (;;) {
        for (int i = 0; i < 64; i++)
            if (scanf("%f", &x[i]) != 1) return 0;
        printf("%d\\n", net_predict(x, 64));
    }
}
"""
(Path(folder.name) / "main.c").write_text(program)

# %%
# Compile and compare
# -------------------
#
# On a real chip the compiler is that of the chip; here it is this machine's.

compiler = shutil.which("cc") or shutil.which(sysconfig.get_config_var("CC").split()[0])
binary = Path(folder.name) / "net"
subprocess.run(
    [
        compiler,
        "-O2",
        "-o",
        binary,
        Path(folder.name) / "main.c",
        f"-I{emlearn.includedir}",
        "-lm",
    ],
    check=True,
)
rows = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in X_test)
printed = subprocess.run([binary], input=rows, capture_output=True, text=True, check=True).stdout
in_c = np.array(printed.split(), dtype=int)
equal = (in_c == net.predict(X_test)).mean()
print(f"{len(in_c)} predictions in C, of which {equal:.1%} equal relume's")
folder.cleanup()

# %%
# How small may it be?
# --------------------
#
# A parameter takes four bytes of flash memory. An Arduino Uno has 32 kB.

accuracy = [networks[size].evaluate(X_test, y_test)["accuracy"] for size in sizes]
kilobytes = [
    sum(value.size for value in networks[size].state_dict().values()) * 4 / 1000 for size in sizes
]
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(kilobytes, accuracy, marker="o")
for size, *point in zip(sizes, kilobytes, accuracy, strict=True):
    axes.annotate(f"{size} units", point, xytext=(-6, 8), textcoords="offset points")
axes.margins(0.08, 0.15)
axes.set(title="Accuracy and memory", xlabel="parameters, kB", ylabel="accuracy on test rows")
plt.show()

# %%
# Next
# ----
#
# - `relume.nn.Network.compact` removes units that contribute nothing, which saves more memory.
# - ``relume export model.safetensors --to sklearn`` writes the estimator: :doc:`/command_line`.
