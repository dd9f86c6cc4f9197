"""How long the program takes to start: `nas --help`, `nas list spaces` and completion.

Run: python benchmarks/startup.py [repeats]

Prints the median wall and CPU time of fresh processes and whether torch was imported, and fails if
that is so or if the CPU time reaches the gate (wall time is CPU time on a machine that is idle).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time

GATE = 0.5  # seconds
COMMANDS = (("--help",), ("list", "spaces"), ("search", "--help"))
SCRIPT = """
import sys
from nas.cli.main import run
code = run(sys.argv[1:])
sys.exit(9 if "torch" in sys.modules else code)
"""


def measure(arguments: tuple[str, ...], repeats: int) -> tuple[float, float, bool]:
    """Median wall and CPU seconds, and whether torch was imported."""
    walls, times, heavy = [], [], False
    for _ in range(repeats):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"TERM": "dumb"},
            check=False,
        )
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        heavy = heavy or done.returncode == 9
    return statistics.median(walls), statistics.median(times), heavy


def main() -> int:
    """Measure all commands; 1 if a gate is missed."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    missed = False
    for arguments in COMMANDS:
        wall, cpu, heavy = measure(arguments, repeats)
        torch = "imports torch" if heavy else "no torch"
        print(f"nas {' '.join(arguments):<16} wall {wall:.3f} s  cpu {cpu:.3f} s  {torch}")
        missed = missed or heavy or cpu >= GATE
    print(f"gate {GATE} s of CPU time and no torch: {'missed' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
