"""The rows of results as a text table and as a plot."""

import os

from goals import GOALS

WIDTHS = [12, 46, 15, 17, 9, 9, 7, 5, 5]
TITLES = ["group", "work", "ours", "theirs", "ours", "theirs", "ratio", "must", "aim", ""]


def verdict(row):
    """Whether a ratio is below its required value, or reaches its aim."""
    if row["ratio"] is None:
        return row["note"]
    if row["ratio"] < row["must"]:
        result = "SHORT"
    else:
        result = "aim reached" if row["aim"] and row["ratio"] >= row["aim"] else ""
    return "; ".join(filter(None, [result, row["note"]]))


def amount(value, row):
    """A time in microseconds, or memory in MB."""
    if value is None:
        return ""
    if row["group"] == "memory":
        return f"{value / 2**20:.1f} MB"
    return f"{value * 1e6:,.{0 if value > 1e-3 else 1}f} µs"


def cells(row):
    medians = row.get("medians", [None, None])
    names = [row["ours"], row["theirs"]]
    if "threads" in row:
        names = [f"{name} ({t})" for name, t in zip(names, row["threads"], strict=True)]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    aim = "" if row["aim"] is None else f"{row['aim']:g}"
    shown = [amount(value, row) for value in medians]
    return [
        row["group"],
        row["work"],
        *names,
        *shown,
        ratio,
        f"{row['must']:g}",
        aim,
        verdict(row),
    ]


def line(cells):
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=False)]
    return "| " + " | ".join([*padded, cells[-1]]) + " |"


def show(rows):
    for row in rows:
        print(line(cells(row)), flush=True)


def show_notes(notes, wrong):
    """Print how each contender's results compare with the oracle's."""
    for name, note in notes.items():
        print(f"    {name}: {note}{' -- WRONG' if name in wrong else ''}", flush=True)


def table(results):
    """Print all rows, and the number of rows that are short."""
    about = results.content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    cpu = f"{about['cpu']} ({about['name']}), {about['cpus']} CPUs, {about['simd']}"
    print(f"{cpu}; {versions}; {about['data']}.")
    print("Ratio: their time (or memory) over ours; (n): the number of threads that was faster.\n")
    print(line(TITLES))
    print("|---" * len(TITLES) + "|")
    show(results.rows)
    short = sum(verdict(row).startswith("SHORT") for row in results.rows)
    open_rows = sum(row["ratio"] is None for row in results.rows)
    print(f"\n{len(results.rows)} rows: {short} short, {open_rows} not measured")


def goals(results):
    """Print the line of each goal: its value, and whether the required value or the aim is met."""
    about = results.content["machine"]
    print(f"\n| {'goal':<44} | {'theirs':<30} | must | aim  | {about['name']}, {about['simd']} |")
    print("|---" * 5 + "|")
    for goal in GOALS:
        value = goal.value(results.rows)
        shown = "" if value is None else f"{value:.2f} "
        print(
            f"| {goal.name:<44} | {goal.theirs:<30} | {goal.must:<4g} | {goal.aim:<4g} "
            f"| {shown}{goal.verdict(value)} |"
        )


# -- the plot --

COLORS = {
    "ONNX Runtime": "#7b5ea7",
    "JAX": "#2a78b5",
    "PyTorch": "#e1622f",
    "PyTorch compiled": "#f2a65e",
    "scikit-learn": "#3b9a6d",
    "NumPy": "#8d99a6",
}
OTHER = "#b8b3a8"
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]


def picture(results, path):
    """Plot a panel per group, with a bar and a tick at the required ratio for each row."""
    try:
        os.environ.setdefault("MPLBACKEND", "agg")
        from matplotlib import pyplot as plt
    except ImportError as error:
        print(f"no plot: {error}")
        return
    rows = [row for row in results.rows if row["ratio"] is not None]
    if not rows:
        return
    groups = list(dict.fromkeys(row["group"] for row in rows))
    panels = [[row for row in rows if row["group"] == group] for group in groups]
    figure, axes = plt.subplots(
        len(panels), 1, squeeze=False, layout="constrained",
        figsize=(10, sum(0.26 * len(panel) + 0.9 for panel in panels) + 0.6),
        height_ratios=[len(panel) + 3 for panel in panels],
    )  # fmt: skip
    for axis, group, panel in zip(axes.flat, groups, panels, strict=True):
        draw(axis, group, panel)
    figure.suptitle(
        "Their time (or memory) over relume's: right of 1 relume is ahead.\n"
        "Black ticks: required ratios; red numbers: ratios below them"
    )
    figure.savefig(path)
    plt.close(figure)


def draw(axis, group, rows):
    positions, labels, work, y = [], [], None, 0.0
    for row in rows:
        y += 1 if row["work"] == work else 1.5
        first, work = row["work"] != work, row["work"]
        names = row["theirs"] if row["ours"] == "relume" else f"{row['theirs']} / {row['ours']}"
        labels.append(f"{row['work']}:   {names}" if first else names)
        positions.append(y)
    ratios = [row["ratio"] for row in rows]
    short = ["#c0392b" if row["ratio"] < row["must"] else "#333333" for row in rows]
    axis.barh(positions, [ratio - 1 for ratio in ratios], left=1, height=0.8,
              color=[COLORS.get(row["theirs"], OTHER) for row in rows])  # fmt: skip
    for y, row, color in zip(positions, rows, short, strict=True):
        axis.plot([row["must"]] * 2, [y - 0.45, y + 0.45], color="black", linewidth=1.5)
        axis.annotate(
            f"{row['ratio']:.2f}", (max(row["ratio"], row["must"], 1), y), (4, 0),
            textcoords="offset points", va="center", fontsize=8, color=color,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(min(0.5, *ratios) * 0.9, max(2, *ratios, *(row["must"] for row in rows)) * 1.6)
    low, high = axis.get_xlim()
    axis.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(positions, labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_title(group, loc="left", fontweight="bold", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
