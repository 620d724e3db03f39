"""`volward --help` against a bare click program: the same run, alternated A B B A, median against median.

python tests/bench/help.py [--rounds N] [--limit RATIO]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import click

@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("1.0")
def main():
    "A program."

@main.command()
def one():
    "A command."

main()
"""
AGENT = Path(__file__).parents[2] / "agent"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--limit", type=float, default=1.5, help="the ratio above which this fails")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bare = Path(directory) / "bare.py"
        bare.write_text(BARE)
        ours = Path(directory) / "ours.py"  # what pip writes as the command, with this checkout in front
        ours.write_text(f"import sys\nsys.path.insert(0, {str(AGENT)!r})\nfrom volward.cli.main import main\nmain()\n")
        sides = {"volward --help": ours, "bare click --help": bare}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for script in sides.values():
            _run(script)  # compiles, and reads the files once
        for number in range(arguments.rounds):
            order = list(sides) if number % 2 == 0 else list(reversed(sides))
            for name in order:
                seconds[name].append(_run(sides[name]))
    for name, found in seconds.items():
        print(f"{name:20} median {statistics.median(found) * 1000:7.1f} ms  fastest {min(found) * 1000:7.1f} ms")
    ours_median, bare_median = (statistics.median(found) for found in seconds.values())
    print(f"ratio {ours_median / bare_median:.2f}; fails above {arguments.limit}")
    return 0 if ours_median <= arguments.limit * bare_median else 1


def _run(script: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, script, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
