"""A period in which everything happens to the scrape that can: the ledger, the report and the usual queries beside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "stand")]

import accuracy  # noqa: E402
from conftest import Stand  # noqa: E402
from standlib import settings  # noqa: E402
from standlib.progress import StandError, main_guard, say  # noqa: E402


def demo() -> None:
    subprocess.run([sys.executable, ROOT / "tests" / "stand" / "stand", "up"], check=True)
    stand = Stand(settings.DEFAULT_CLUSTER)
    found = accuracy.eventful(stand)
    print(f"\nInput and output tokens from {found.said['start']} to {found.said['end']}:\n")
    print(f"{accuracy.comparison(stand, found)}\n")
    print("What the report says cannot be known:\n")
    print("\n".join(f"- {doubt}" for doubt in found.said["doubts"]) + "\n")
    told = {key: tokens - found.lost.get(key, 0) for key, tokens in found.served.items()}
    if found.counted != told:
        raise StandError("the report and the ledger differ by more than what the killed pod had not told")
    say("equal to the token, but for what the killed pod had counted after its last scrape")


main_guard(demo)
