"""How long a month of many series takes to be summed up, and how much memory: by windows, and by every sample.

A benchmark, and no test: it writes the month into a Prometheus of its own, asks it both ways, and shows a table. Both
answers are held against what was really counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests" / "stand")]

from standlib import binaries, usage
from standlib.kept import Kept
from standlib.progress import main_guard, say, step, wait_until

from ansible_collections.aigateway.metering.plugins.module_utils import _calendar
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import replica as _replica
from ansible_collections.aigateway.metering.plugins.module_utils._usage import (
    owners,
    pod_reader,
)
from ansible_collections.aigateway.metering.plugins.module_utils._usage import period as _period
from ansible_collections.aigateway.metering.plugins.module_utils._usage import store as _store
from ansible_collections.aigateway.metering.plugins.module_utils._usage import totals as _totals

START, DAY = 1_790_035_200, 86_400
PORT = 19_099
URL = f"http://127.0.0.1:{PORT}"
PART = 6 * 3600


class EverySample(pod_reader.PodReader):
    """A pod that is followed through every sample, as far as memory allows at once."""

    def window(self, at, until, only=None, *, beside=False):
        while at < until:
            self._follow(at, min(at + PART, until), only, beside)
            at += PART


@dataclass(frozen=True)
class Counted(_replica.Replica):
    """A replica whose answers are counted."""

    told: Counter[str] = field(default_factory=Counter)

    def query(self, promql: str, at: float | None = None, *, apart: bool = False) -> list[dict]:
        found = super().query(promql, at, apart=apart)
        samples = sum(len(item.get("values", ())) for item in found)
        self.told.update(queries=1, rows=len(found), samples=samples)
        return found


def answer(days: int, way: str) -> None:
    """Sum the month up in one of both ways, and print what it took as JSON."""
    if way == "samples":
        _period.PodReader = EverySample  # type: ignore[attr-defined]
    replica = Counted((Kept(PORT),))
    end = START + days * DAY
    store = _store.Store([replica], [1064], {})
    period = _period.Period(store, START, end, end, owners.Owners([], []))
    calendar = _calendar.days_of_period(START, end, "UTC")
    sums = _totals.Sums(["namespace"], [_totals.Usage() for dummy in calendar], lambda dummy: "")
    started = time.monotonic()
    period.read(sums, [(begin, until) for dummy, begin, until in calendar])
    totals = {f"{key[0]} {kind} sum": count for key, own in sums.used.items() for kind, count in own.tokens.items()}
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - started,
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                **replica.told,
                "totals": totals,
                "baselines": len(sums.baselines),
            }
        )
    )


def ask(days: int, way: str) -> dict:
    """answer(), in a process of its own, because its memory is measured."""
    with step(f"a month by {way}"):
        command = [sys.executable, __file__, "--days", str(days), "--answer", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run(arguments: argparse.Namespace) -> None:
    directory = Path(tempfile.mkdtemp(prefix="month-"))
    blocks, prometheus = binaries.program(Path(__file__).with_name("blocks.go")), binaries.tool("prometheus")
    try:
        with step("writing the month"):
            options = {"out": directory, "start": START, "days": arguments.days, "pods": arguments.pods}
            options |= {"combinations": arguments.combinations, "step": arguments.step}
            words = [f"-{name}={value}" for name, value in options.items()]
            truth = json.loads(subprocess.run([blocks, *words], stdout=subprocess.PIPE, check=True).stdout)
        (directory / "prometheus.yml").write_text("{}")
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1024**2
        command = [prometheus, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}"]
        command += ["--storage.tsdb.retention.time=20y", f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=error"]
        with subprocess.Popen(command) as server:
            try:
                wait_until("Prometheus", is_ready, 120)
                found = {way: ask(arguments.days, way) for way in arguments.ways}
            finally:
                server.terminate()
    finally:
        shutil.rmtree(directory)
    served = {key: count for key, count in truth["totals"].items() if key.endswith(" sum") and count}
    rows: list[tuple[str, ...]] = [("by", "seconds", "peak MB", "queries", "rows", "samples", "against the truth")]
    for way, told in found.items():
        wrong = sum(told["totals"].get(key) != count for key, count in served.items())
        verdict = "equal" if told["totals"] == served else f"{wrong} of {len(served)} sums differ"
        numbers = [f"{told['seconds']:.0f}", f"{told['megabytes']:.0f}"]
        rows.append((way, *numbers, str(told["queries"]), str(told["rows"]), str(told["samples"]), verdict))
    say(f"{truth['series']} series of {truth['pods']} pods, a scrape every {arguments.step} s, {size:.0f} MB stored")
    print("\n" + usage.aligned(rows, texts=1))


def is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"{URL}/-/ready", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pods", type=int, default=10, help="at a time; each lives three days")
    parser.add_argument("--combinations", type=int, default=125, help="of namespace and model, eight series each")
    parser.add_argument("--step", type=int, default=120, help="the scrape interval in seconds")
    parser.add_argument("--ways", nargs="+", choices=["windows", "samples"], default=["windows", "samples"])
    parser.add_argument("--answer", choices=["windows", "samples"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(arguments.days, arguments.answer)
    else:
        run(arguments)


if __name__ == "__main__":
    main_guard(main)
