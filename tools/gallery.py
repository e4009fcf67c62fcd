"""How the examples of the gallery run: sphinx-gallery calls this while `make docs` builds.

Every picture gets a text alternative, and no example reaches the network.
"""

import ipaddress
import random
import socket
import textwrap

import numpy as np

WIDE = 8  # inches; a wider figure scrolls on a narrow screen, where it would be too small


class NetworkUsed(RuntimeError):
    """An example tried to reach another machine."""


def figures(block, block_vars, gallery_conf):
    """Save the new figures of a block, and return the RST that shows them.

    Plots of relume are not registered with pyplot: those that a block assigns to a name are taken.
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    shown = block_vars.setdefault("shown", set())
    found = [plt.figure(number) for number in plt.get_fignums()]
    found += [value for value in block_vars["example_globals"].values()
              if isinstance(value, Figure)]  # fmt: skip
    rst = ""
    for figure in found:
        if id(figure) in shown:
            continue
        shown.add(id(figure))
        path = next(block_vars["image_path_iterator"])
        figure.savefig(path, dpi=144, transparent=True)  # relume.css inverts it on a dark page
        shown_as = figure_rst([path], gallery_conf["src_dir"], alternative(figure))
        if figure.get_figwidth() > WIDE:
            shown_as = f"\n.. container:: wide\n{textwrap.indent(shown_as, '   ')}\n"
        rst += shown_as
    # An open figure is kept alive by its name, so its id is not used again.
    block_vars.setdefault("kept", []).extend(found)
    plt.close("all")
    return rst


def alternative(figure):
    """A figure's description in words: its label, or the titles and labels that it shows."""
    label = str(figure.get_label())
    if len(label.split()) > 2:
        return label
    texts = [figure.get_suptitle()]
    for axes in figure.axes:
        texts += [axes.get_label(), axes.get_title(), axes.get_ylabel(), axes.get_xlabel()]
    told = [text for text in dict.fromkeys(texts) if text and not text.startswith("<")]
    if not told:
        raise ValueError("a figure must have a title or axis labels, or a label: "
                         "figure.set_label('what it shows, in words')")  # fmt: skip
    return "; ".join(told)


def reset(gallery_conf, name):
    """Before each example: seeds, matplotlib's settings, and no network."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "savefig.bbox": None})
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 what an example's libraries draw from
    socket.socket.connect = _connect


_UNGUARDED = socket.socket.connect


def _connect(self, address):
    """Connect within this machine only."""
    if isinstance(address, tuple) and not _local(address[0]):
        raise NetworkUsed(f"an example must not use the network, but connects to {address[0]}")
    return _UNGUARDED(self, address)


def _local(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
