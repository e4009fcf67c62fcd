"""Everyday words, and the page that the site's own search finds first for each.

    python tools/search.py FOLDER

As an extension of Sphinx, this makes the words main entries of the index, which the search ranks
above titles. As a program, it runs the search of the built pages in Node.js, as a browser does,
and prints one line for each word whose first page is another one.
"""

import json
import subprocess
import sys
from pathlib import Path

# What people type, and the page that they look for; others after a blank are as good.
WORDS = {
    "imbalance": "tasks/data/plot_class_imbalance",
    "threshold": "tasks/data/plot_class_imbalance api/relume.threshold",
    "uncertainty": "tasks/data/plot_quantile_uncertainty",
    "quantile": "tasks/data/plot_quantile_uncertainty api/relume.nn.Quantile",
    "text classification": "tasks/data/plot_text_classification",
    "checkpoint": "tasks/training/plot_early_stopping api/relume.nn.ModelCheckpoint",
    "early stopping": "tasks/training/plot_early_stopping api/relume.nn.EarlyStopping",
    "learning rate": "tasks/training/plot_learning_rate",
    "warm-up": "tasks/training/plot_learning_rate",
    "calibration": "tasks/data/plot_calibration",
    "calibrated probabilities": "tasks/data/plot_calibration",
    "missing values": "tasks/data/plot_tables_pipeline",
    "pipeline": "tasks/data/plot_tables_pipeline",
    "custom loss": "tasks/training/plot_own_loss_callback_loop",
    "own callback": "tasks/training/plot_own_loss_callback_loop",
    "autoencoder": "tasks/data/plot_autoencoder experiments/autoencoder",
    "reinforcement learning": "tasks/data/plot_cart_pole",
    "latency": "tasks/speed/plot_one_row",
    "pytorch": "tasks/tools/plot_pytorch_onnx migrating",
    "onnx": "tasks/tools/plot_pytorch_onnx api/relume.onnx",
    "joblib": "tasks/speed/plot_many_networks",
    "optuna": "tasks/tools/plot_optuna",
    "hyperparameters": "tasks/tools/plot_optuna",
    "mlflow": "tasks/tools/plot_mlflow",
    "microcontroller": "tasks/speed/plot_microcontroller",
    "dying relu": "tasks/training/plot_dying_network diagnostics",
    "dead units": "tasks/training/plot_dying_network diagnostics api/relume.plots.dead_units",
    "vanishing gradient": "experiments/vanishing-gradients",
    "install": "install",
    "leaky relu": "api/relume.leaky_relu api/relume.nn.LeakyReLU",
    "activation functions": "tasks/activations/plot_activation_curves",
    "dropout": "api/relume.nn.Dropout experiments/dropout",
    "tensorboard": "api/relume.nn.TensorBoard",
    "benchmarks": "benchmarks",
}

# Searches as searchtools.js does before it shows anything; what it touches of a page is absent.
PROGRAM = """
const fs = require("fs"), vm = require("vm"), folder = process.argv[1];
const nothing = { getAttribute: () => "", addEventListener() {}, dataset: {} };
const document = { documentElement: nothing, readyState: "loading", addEventListener() {},
                   getElementById: () => null, querySelector: () => null, body: nothing };
const context = vm.createContext({
  document, console, localStorage: { setItem() {} }, SPHINX_HIGHLIGHT_ENABLED: false,
  DOCUMENTATION_OPTIONS: {}, _: (text) => text, _ready() {},
  URLSearchParams, location: { search: "" },
});
vm.runInContext("globalThis.window = globalThis", context);
for (const name of ["_static/language_data.js", "_static/searchtools.js"])
  vm.runInContext(fs.readFileSync(`${folder}/${name}`, "utf8"), context);
vm.runInContext("globalThis.Search = Search", context);
vm.runInContext(fs.readFileSync(`${folder}/searchindex.js`, "utf8"), context);
const found = {};
for (const words of JSON.parse(process.argv[2])) {
  const results = context.Search._performSearch(...context.Search._parseQuery(words));
  found[words] = results.reverse().slice(0, 5).map((each) => each[0]);  // the best comes last
}
console.log(JSON.stringify(found));
"""


def setup(app):
    """Called by Sphinx."""
    from sphinx import addnodes
    from sphinx.transforms import SphinxTransform

    class Words(SphinxTransform):
        """Enters the words of a page into the index, before domains collect its entries."""

        default_priority = 700

        def apply(self, **kwargs):
            here = self.env.docname
            words = [word for word, pages in WORDS.items() if pages.split()[0] == here]
            if words:
                entries = [("single", word, "", "main", None) for word in words]
                self.document.insert(0, addnodes.index(entries=entries))

    app.add_transform(Words)
    return {"parallel_read_safe": True}


def results(folder, words):
    """The first pages that the search finds for each of some words."""
    done = subprocess.run(
        ["node", "-e", PROGRAM, str(folder), json.dumps(list(words))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the search of {folder} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main(folder):
    """Print the words that find another page first; return the exit status."""
    found = results(Path(folder).resolve(), WORDS)
    wrong = {word: pages for word, pages in found.items() if not _is_first(word, pages)}
    for word, pages in wrong.items():
        print(f"{word}: {', '.join(pages[:3]) or 'nothing'}; expected {WORDS[word]}")
    print(f"{len(WORDS)} searches, {len(wrong)} find another page first")
    return bool(wrong)


def _is_first(word, pages):
    return bool(pages) and pages[0] in WORDS[word].split()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
