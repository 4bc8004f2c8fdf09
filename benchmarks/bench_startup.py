"""Start-up time of what must feel instant: median, fastest and slowest of ten fresh processes each."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 10
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import backlight": ["-c", "import backlight"],
    "backlight --version": ["-m", "backlight", "--version"],
    "backlight --help": ["-m", "backlight", "--help"],
    "backlight plugins": ["-m", "backlight", "plugins"],
    "backlight plugins --json": ["-m", "backlight", "plugins", "--json"],
    "backlight attribute --help": ["-m", "backlight", "attribute", "--help"],
    "backlight analyze --help": ["-m", "backlight", "analyze", "--help"],
    "backlight explore --help": ["-m", "backlight", "explore", "--help"],
    "backlight demo --help": ["-m", "backlight", "demo", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Return the wall time of one fresh interpreter, which must succeed."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    print(f"{'':<28}{'median':>9}{'fastest':>9}{'slowest':>9}   (ms, {RUNS} runs)")
    for name, arguments in COMMANDS.items():
        runs = [1000 * seconds(arguments) for _ in range(RUNS)]
        print(f"{name:<28}{statistics.median(runs):>9.0f}{min(runs):>9.0f}{max(runs):>9.0f}")


if __name__ == "__main__":
    main()
