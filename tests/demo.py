"""The whole thing, shown: a stand, `site.yml`, traffic, `site.yml` again, and the tokens beside the ledger's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "stand"))

from standlib import settings, traffic, usage  # noqa: E402
from standlib.kube import Kubectl  # noqa: E402
from standlib.progress import StandError, main_guard, say, step, wait_until  # noqa: E402

CLUSTER = settings.DEFAULT_CLUSTER
# A shorter interval than the default 30s only makes the demo shorter.
SITE = ["playbooks/site.yml", "--extra-vars", "scrape_interval=5s"]
STORED_SECONDS = 90


def site() -> int:
    """Run the playbook, shown as a user sees it, and return how many tasks changed something."""
    environment = {
        **os.environ,
        "K8S_AUTH_KUBECONFIG": str(settings.kubeconfig(CLUSTER)),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), *SITE]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    recap = re.search(r"changed=(\d+).*failed=(\d+)", "".join(lines))
    if process.returncode or recap is None:
        raise StandError(f"site.yml ended with {process.returncode}; what it says above is what to act on")
    return int(recap.group(1))


def demo() -> None:
    subprocess.run([sys.executable, ROOT / "tests" / "stand" / "stand", "up"], check=True)
    say("site.yml, for the first time")
    site()
    with step("what Prometheus has stored so far"):
        kubectl = Kubectl(CLUSTER)
        before = usage.stored_totals(kubectl)
        since = traffic.now()
    with step("traffic of both teams"):
        gateways = traffic.Gateways(CLUSTER)
        statuses = traffic.send_all(gateways, traffic.mix(rounds=5))
    say(f"{statuses[200]} requests answered, {sum(statuses.values()) - statuses[200]} failed")
    say("site.yml, for the second time")
    changed = site()
    if changed:
        raise StandError(f"the second run of site.yml changed {changed} things; it has to change nothing")
    with step("waiting until Prometheus has scraped what the ledger knows"):
        served = traffic.ledger_totals(traffic.ledger(kubectl, since))

        def stored() -> traffic.Totals:
            return usage.growth(before, usage.stored_totals(kubectl))

        try:
            wait_until("Prometheus to show the ledger's tokens", lambda: stored() == served, STORED_SECONDS, 2)
        except StandError as late:
            say(str(late))
        counted = stored()
    print(f"\nTokens of all requests sent after the first run:\n\n{usage.table(counted, served)}\n")
    print("cached_input is a part of input, reasoning a part of output: a total is input + output.\n")
    if counted != served:
        raise StandError("Prometheus and the ledger differ; see the table")
    if statuses[200] != sum(statuses.values()):
        raise StandError("requests failed")
    say("equal to the token")


main_guard(demo)
