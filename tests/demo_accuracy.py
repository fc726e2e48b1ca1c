"""A period in which everything happens to the scrape that can: the ledger, the report and the usual queries beside."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "stand")]

from harness import accuracy  # noqa: E402
from harness.stand import Stand  # noqa: E402
from standlib import settings, usage  # noqa: E402
from standlib.progress import StandError, main_guard, say  # noqa: E402


def demo() -> None:
    subprocess.run([sys.executable, ROOT / "tests" / "stand" / "stand", "up"], check=True)
    stand = Stand(settings.DEFAULT_CLUSTER)
    found = accuracy.eventful(stand)
    print(f"\nInput and output tokens from {found.said['start']} to {found.said['end']}:\n")
    print(f"{accuracy.comparison(stand, found)}\n")
    print("What the report says cannot be known:\n")
    print("\n".join(f"- {doubt}" for doubt in found.said["doubts"]) + "\n")
    start, end = (datetime.datetime.fromisoformat(found.said[name]).timestamp() for name in ("start", "end"))
    print("The same period, cut in two:\n")
    rows: list[tuple[str, ...]] = [("cut after", "first part", "second part", "both", "the whole")]
    for number in range(1, 8):
        cut = start + (end - start) * number / 8
        halves = [accuracy.account(stand, *span).counted for span in ((start, cut), (cut, end))]
        totals = [sum(accuracy.by_namespace(half).values()) for half in halves]
        whole = sum(accuracy.by_namespace(found.counted).values())
        rows.append((f"{cut - start:.0f} s", *map(str, totals), str(sum(totals)), str(whole)))
        if accuracy.parts(stand, start, cut, end) != found.counted:
            raise StandError(f"the parts before and after {cut - start:.0f} s do not add up to the whole")
    print(f"{usage.aligned(rows, texts=1)}\n")
    told = {key: tokens - found.lost.get(key, 0) for key, tokens in found.served.items()}
    if found.counted != told:
        raise StandError("the report and the ledger differ by more than what the killed pod had not told")
    say("equal to the token, but for what the killed pod had counted after its last scrape")


main_guard(demo)
