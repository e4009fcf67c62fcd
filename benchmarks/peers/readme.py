"""Write the table of README.md that sums up `make peers`, with a column for each CPU.

    python benchmarks/peers/readme.py [build/peers.json]    `make peers-readme`

The goals of a run (goals.py) are kept in benchmarks/peers/kept/NAME.json, where NAME is that of
the CPU and its instruction set. Without a run, the table is only written anew.
"""

import json
import sys
from pathlib import Path

from goals import GOALS

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "kept"
README = ROOT / "README.md"
BEGIN, END = "<!-- goals of make peers: begin -->", "<!-- goals of make peers: end -->"


def keep(results):
    """Keep the values of a run's goals; goals that it has not measured keep their value."""
    about = json.loads(results.read_text())
    machine, rows = about["machine"], about["rows"]
    path = KEPT / f"{machine['name']}-{machine['simd']}.json"
    kept = json.loads(path.read_text()) if path.exists() else {"goals": {}}
    found = {goal.name: goal.value(rows) for goal in GOALS}
    for name, value in found.items():
        if value is not None:
            kept["goals"][name] = round(value, 2)
    title = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['simd']}"
    order = ["title", "commit", "versions", "goals"]
    kept |= {"title": title, "commit": machine["commit"], "versions": machine["versions"]}
    KEPT.mkdir(exist_ok=True)
    path.write_text(json.dumps({key: kept[key] for key in order}, indent=1) + "\n")


def table():
    """The lines of the table."""
    columns = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    titles = [f"{column['title']}, at {column['commit']}" for column in columns]
    yield f"| work | their time divided by ours | must | aim | {' | '.join(titles)} |"
    yield "|---" * (4 + len(columns)) + "|"
    for goal in GOALS:
        values = [column["goals"].get(goal.name) for column in columns]
        shown = [f"{value:.2f}" if isinstance(value, float) else value or "" for value in values]
        cells = [goal.name, goal.theirs, f"{goal.must:g}", f"{goal.aim:g}", *shown]
        yield f"| {' | '.join(cells)} |"


def written(text):
    """README's text with the present table."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return "\n".join([f"{before}{BEGIN}", *table(), f"{END}{after}"])


def main():
    for path in sys.argv[1:]:
        keep(Path(path))
    README.write_text(written(README.read_text()))


if __name__ == "__main__":
    main()
