# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long playbooks take on a metered stand with nothing to do, beside the same job done otherwise.

A benchmark, and no test: it compares within one run, because a machine's seconds are its own. What is compared takes
turns, so that a busy moment meets all of it. The result is written to docs/benchmarks.md. It needs jq and curl.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "stand")]

from harness.cluster import CONTROLLER, FLAG
from harness.stand import Stand
from standlib import binaries, cluster, platform, settings, traffic, usage
from standlib.progress import StandError, main_guard, say, wait_until

BENCH = Path(__file__).parent
CLUSTER = settings.DEFAULT_CLUSTER
ROUNDS = 5
FIRST_ROUNDS = 3
HOSTS = 50
PAGE = ROOT / "docs" / "benchmarks.md"
CLIENT = "OpenAPI-Generator"  # the Python client's User-Agent


def environment() -> dict[str, str]:
    kubeconfig = str(settings.kubeconfig(CLUSTER))
    tools = Path(binaries.tool("kubectl")).parent
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{tools}:{os.environ['PATH']}",
        "KUBECONFIG": kubeconfig,
        "K8S_AUTH_KUBECONFIG": kubeconfig,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }


def run(*command: str) -> float:
    """How many seconds a command takes. It has to succeed."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StandError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - began


@contextlib.contextmanager
def forwarded() -> Iterator[str]:
    """The address of the stand's Prometheus on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        binaries.tool("kubectl"),
        "-n",
        "cpaas-system",
        "port-forward",
        "svc/prometheus-operated",
        f"{port}:9090",
    ]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until("the forwarded port", answers, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def requests_of(what: Callable[[], float]) -> int:
    """How many requests the API server has counted of it."""
    before = cluster.requests_of(CLUSTER, CLIENT)
    what()
    return cluster.requests_of(CLUSTER, CLIENT) - before


def shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


# -- from a fresh gateway to the first labelled sample -----------------------------------------------------------------

WANTED = f"{platform.PLATFORM_MAPPING},x-user-group:department"


def first_sample(stand: Stand, meter: Callable[[], None]) -> float:
    """How many seconds after a beginning the first sample with the new label is stored, under steady traffic."""
    stand.reset()
    with traffic.SteadyTraffic(stand.gateways(), traffic.mix(1)):
        # What was scraped before that is not of this beginning.
        since = traffic.now()
        promql = f'count(timestamp(gen_ai_client_token_usage_sum{{department!=""}}) > {since:.3f})'
        began = time.monotonic()
        # A run ends later than this: it also waits until each target is scraped, to prove it.
        with ThreadPoolExecutor(1) as beside:
            metering = beside.submit(meter)
            wait_until("the first labelled sample", lambda: bool(usage.query(stand.kubectl, promql)), 120, 0.2)
            took = time.monotonic() - began
            metering.result()
        return took


def by_site(stand: Stand) -> None:
    run = stand.site()
    if run.code:
        raise StandError(run.output)


def by_hand(stand: Stand) -> None:
    """What cannot be avoided: the flag, the controller's rollout, one proxy's after the other, and a monitor."""
    container = stand.controller()["spec"]["template"]["spec"]["containers"][0]
    args = [FLAG + WANTED if word.startswith(FLAG) else word for word in container["args"]]
    body = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": args}]}}}}
    stand.patch("deployment", platform.GATEWAY_NAMESPACE, CONTROLLER, body, "strategic")
    stand.wait_for_controller()
    for proxy in stand.revisions():
        restarted = {"spec": {"template": {"metadata": {"annotations": {"restarted": str(time.time())}}}}}
        stand.patch("deployment", platform.GATEWAY_NAMESPACE, proxy, restarted)
        stand.kubectl.rollout(stand.step, platform.GATEWAY_NAMESPACE, f"deployment/{proxy}")
    stand.apply(stand.pod_monitor("by-hand"))


def many_hosts() -> tuple[float, float]:
    """check.yml on many hosts, which are one cluster here, ten at a time: seconds, and the most memory of a process."""
    inventory = ",".join(f"cluster-{number}" for number in range(HOSTS)) + ","
    words = ["--inventory", inventory, "--connection", "local", "--forks", "10"]
    interpreter = ["--extra-vars", f"ansible_python_interpreter={sys.executable}", "--extra-vars", "metering_hosts=all"]
    command = ["ansible-playbook", "playbooks/check.yml", *words, *interpreter, "--extra-vars", "scrape_interval=5s"]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    dummy, status, used = os.wait4(process.pid, 0)
    if status:
        raise StandError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, used.ru_maxrss / 1024


def many_lines() -> str:
    seconds, megabytes = many_hosts()
    return (
        f"`check.yml` on {HOSTS} hosts with ten forks: {seconds:.0f} s in all, {seconds / HOSTS:.2f} s a host, "
        f"{megabytes:.0f} MB at most in one process."
    )


def first_lines() -> list[str]:
    """What is said of the first sample."""
    stand = Stand(CLUSTER)
    own: list[float] = []
    least: list[float] = []
    for number in range(1, FIRST_ROUNDS + 1):
        least.append(first_sample(stand, lambda: by_hand(stand)))
        own.append(first_sample(stand, lambda: by_site(stand)))
        say(f"first sample, round {number} of {FIRST_ROUNDS}: {own[-1]:.1f} s beside {least[-1]:.1f} s")
    ratio = statistics.median(own) / statistics.median(least)
    return [
        "From a fresh gateway to the first labelled sample that is stored, in seconds, under steady traffic:",
        "",
        "| what | median (least to most) |",
        "|---|---|",
        f"| `site.yml` | {shown(own)} |",
        "| what cannot be avoided: the controller's rollout, each proxy's after the other, a monitor, one scrape | "
        f"{shown(least)} |",
        "",
        f"That is {ratio:.2f} times as long.",
    ]


def measure() -> list[str]:
    """The lines of the page."""
    site, check = ("ansible-playbook", "playbooks/site.yml"), ("ansible-playbook", "playbooks/check.yml")
    apart = "metering_in_process=false"
    with forwarded() as url:
        plain = ("ansible-playbook", str(BENCH / "plain_tasks.yml"), "--extra-vars", f"prometheus_url={url}")
        rows: dict[str, Callable[[], float]] = {
            "`site.yml`": lambda: run(*site),
            "`check.yml`": lambda: run(*check),
            "`site.yml`, each module in a process of its own": lambda: run(*site, "--extra-vars", apart),
            "the same job as plain `kubernetes.core` tasks": lambda: run(*plain),
            "the same steps as a shell script": lambda: run(str(BENCH / "by_hand.sh")),
        }
        for what in rows.values():
            what()  # what is only slow for the first time
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        for number in range(1, ROUNDS + 1):
            for name, what in rows.items():
                seconds[name].append(what())
            say(f"round {number} of {ROUNDS}: " + ", ".join(f"{own[-1]:.1f} s" for own in seconds.values()))
        asked = {name: requests_of(what) for name, what in list(rows.items())[:4]}
    middle = {name: statistics.median(own) for name, own in seconds.items()}
    names = [*rows]
    plainly, shell = middle[names[3]], middle[names[4]]
    table = [
        f"| {name} | {shown(own)} | {middle[name] / plainly:.2f} | {middle[name] / shell:.1f} | {asked.get(name, '')} |"
        for name, own in seconds.items()
    ]
    cores = len(os.sched_getaffinity(0))
    return [
        "# Benchmarks",
        "",
        "`make bench` measures on the stand, where all is in place and nothing is to be done, and writes this page. "
        "Only",
        "the ratios mean something elsewhere: what is compared took turns on one machine.",
        "",
        "| what | seconds, median (least to most) | ÷ plain tasks | ÷ shell | requests to the API server |",
        "|---|---|---|---|---|",
        *table,
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {cores} cores, Python {sys.version.split()[0]}, ansible-core "
        f"{version('ansible-core')}, kubernetes {version('kubernetes')}, {ROUNDS} rounds. The API server's audit log "
        "has "
        "counted the requests.",
        "",
        "The yardsticks are `tests/bench/plain_tasks.yml` and `tests/bench/by_hand.sh`, which needs `jq` and `curl`.",
        "",
        *first_lines(),
        "",
        many_lines(),
    ]


def main() -> None:
    subprocess.run([sys.executable, ROOT / "tests" / "stand" / "stand", "up"], check=True)
    run("ansible-playbook", "playbooks/site.yml")
    PAGE.write_text("\n".join(measure()) + "\n")
    say(f"written to {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main_guard(main)
