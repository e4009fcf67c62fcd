"""The works of benchmarks/zeros.py: `sparse="auto"` against the faster of "never" and "always"."""

import sys
from pathlib import Path

import programs

import relume

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import zeros


def main():
    rows = []
    with relume.num_threads(1):
        for title, measured in zeros.works():
            for share, (never, auto, always) in measured:
                best = min(never, always)
                rows.append({
                    "work": f"{title}, {share:.0%} zeros", "ours": "relume",
                    "theirs": "never or always", "must": 0.95, "aim": 0.98, "ratio": best / auto,
                    "note": "never" if best == never else "always", "medians": [auto, best],
                })  # fmt: skip
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    main()
