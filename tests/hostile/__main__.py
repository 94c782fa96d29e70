"""``python -m tests.hostile``: throw every hostile input at every public entry and print what came of it.

``python -m tests.hostile PLKD.predict`` takes the entries that begin so; ``-v`` prints every case.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.hostile import ALL
from tests.hostile.world import World


def main(words: list[str]) -> int:
    """Run the cases and return how many ended as they must not."""
    logging.disable(logging.CRITICAL)
    verbose, wanted = "-v" in words, tuple(word for word in words if word != "-v")
    world, found, faults = World(), {}, []
    for case in ALL:
        if wanted and not case.entry.startswith(wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome = case.run(world, Path(folder))
        what = "FAULT" if not outcome.ok else "result" if outcome.text == "result" else "own error"
        found.setdefault(case.entry, Counter())[what] += 1
        if not outcome.ok:
            faults.append(f"{case}\n    {outcome.text}")
        elif verbose:
            print(f"{case}\n    {outcome.text}")
    print("\n".join(faults))
    print(f"\n{'entry':44}{'cases':>7}{'result':>8}{'own error':>11}{'FAULT':>7}")
    for entry, counts in found.items():
        cells = [sum(counts.values()), counts["result"], counts["own error"], counts["FAULT"]]
        print(f"{entry:44}{cells[0]:7}{cells[1]:8}{cells[2]:11}{cells[3]:7}")
    total = [sum(counts[what] for counts in found.values()) for what in ("result", "own error", "FAULT")]
    print(f"{'all':44}{sum(total):7}{total[0]:8}{total[1]:11}{total[2]:7}")
    return total[2]


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
