# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hours of the traffic of fifty tenants, with site.yml every five minutes and something happening in between.

What happens is chosen by a seed: a gateway's proxies are restarted or scaled, Prometheus is restarted twice, and one
proxy is killed. In the end the report is held against the ledger, and docs/reliability.md gets the figures. It may be
interrupted: the next one goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform as machine
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests/e2e"), str(ROOT / "tests/stand")]

from harness.accuracy import account, kill_between_scrapes, scraped_at, wait_for_scrapes, when
from harness.faults import FaultyApiServer
from harness.stand import Stand
from standlib import cluster, platform, raising, settings, tenants, traffic
from standlib.progress import StandError, main_guard, say, wait_until

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make soak -->", "<!-- soak ends -->"
CLUSTER = f"{settings.DEFAULT_CLUSTER}-soak"
SEED = 20261126
TENANTS = 50
# Between requests: some four of them in a second, which leaves a core to the cluster.
PAUSE_SECONDS = 0.2
MOST_REPLICAS = 3
SHOWN_DOUBTS = 5


def callers() -> list[tenants.Caller]:
    """The tenants' callers, half of them at each gateway, of five departments."""
    return [
        tenants.Caller(
            f"caller-{number:02}",
            tenants.TEAMS[number % len(tenants.TEAMS)].gateway,
            {"sub": f"caller-{number:02}", "namespace": f"tenant-{number:02}", "group": f"department-{number % 5}"},
        )
        for number in range(TENANTS)
    ]


def events(count: int) -> list[str]:
    """What happens after each run. The same seed gives the same."""
    chance = random.Random(SEED)
    found = [chance.choice(["restart proxies", "scale proxies"]) for dummy in range(count)]
    for share, event in ((1 / 3, "stop Prometheus"), (1 / 2, "kill a proxy"), (2 / 3, "kill Prometheus")):
        found[int(count * share)] = event
    return found


class Soak:
    """The state of it, kept in a file after each step, and the cluster on which it goes on."""

    def __init__(self, minutes: float, step_seconds: float) -> None:
        self._path = settings.CACHE.parent / "soak" / "state.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            # Of one that goes on the cluster is as it was left: to bring it up to date would take our pairs away.
            raising.up(CLUSTER)
        self.stand = Stand(CLUSTER)
        self._gateways = traffic.Gateways(CLUSTER)
        self._chance = random.Random(SEED)
        for team in tenants.TEAMS:
            # As the gateway drains by default: on the stand proxies end so quickly that requests still reach them.
            self._set_proxy(team, {"shutdown": None})
        wait_until("old proxies to end", lambda: not self.stand.ending_proxies(), 300)
        plan = {"cluster": self._cluster_id(), "minutes": minutes, "step_seconds": step_seconds}
        self.state: dict[str, Any] = self._kept(plan) or self._begun(plan)

    def _kept(self, plan: dict[str, Any]) -> dict[str, Any] | None:
        """The state of one that was interrupted, of the same plan on the same cluster."""
        if not self._path.exists():
            return None
        state = json.loads(self._path.read_text())
        same = plan.items() <= state.items()
        if same:
            say(f"goes on after {state['steps']} steps")
        return state if same else None

    def _begun(self, plan: dict[str, Any]) -> dict[str, Any]:
        run = self.stand.site()
        assert run.code == 0, run.output
        start = wait_for_scrapes(self.stand)
        return {
            **plan,
            "start": start,
            "steps": 0,
            "sent": 0,
            "failed": [],
            "runs": [],
            "events": [],
            "lost": [],
        }

    def _cluster_id(self) -> str:
        (found,) = self.stand.get("namespaces", "", name="kube-system")
        return found["metadata"]["uid"]

    def _set_proxy(self, team: tenants.Team, spec: dict[str, Any]) -> None:
        self.stand.patch("envoyproxy", team.namespace, team.gateway, {"spec": spec})

    def keep(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.state))
        new.replace(self._path)

    def forget(self) -> None:
        self._path.unlink()
        with raising.one_at_a_time():
            cluster.delete(CLUSTER)

    # -- steps --------------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Every step that is left, each at its time."""
        first, begun = self.state["steps"], time.monotonic()
        seconds = self.state["step_seconds"]
        happenings = events(round(self.state["minutes"] * 60 / seconds / 2))
        requests = self._requests()
        while self.state["steps"] < 2 * len(happenings):
            number = self.state["steps"]
            with traffic.SteadyTraffic(self._gateways, requests, PAUSE_SECONDS) as steady:
                time.sleep(max(0.0, begun + (number - first) * seconds - time.monotonic()))
                if number % 2 == 0:
                    self._run()
                elif happenings[number // 2] != "kill a proxy":
                    self._happen(happenings[number // 2])
            self.state["sent"] += steady.statuses.total()
            self.state["failed"] += steady.failures
            if number % 2 and happenings[number // 2] == "kill a proxy":
                # No request is on its way: what the proxy had counted and not told is known to the token.
                self._kill_proxy()
            self.state["steps"] += 1
            self.keep()

    def _requests(self) -> list[traffic.Request]:
        found = traffic.mix(1, callers())
        random.Random(SEED).shuffle(found)
        return found

    def _run(self) -> None:
        """site.yml through a proxy that counts its requests, in a process whose memory is measured."""
        began = traffic.now()
        with FaultyApiServer(self.stand) as server:
            process = self.stand.start("site", environment=server.environment(self.stand))
            assert process.stdout is not None
            output = process.stdout.read()
            dummy, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            requests = len(server.seen)
        run = {
            "began": began,
            "ended": traffic.now(),
            "code": process.returncode,
            "changed": "changed=0" not in output,
            "proxies": len(self.stand.mappings()),
            "requests": requests,
            "megabytes": round(used.ru_maxrss / 1024),
        }
        self.state["runs"].append(run)
        say(f"site.yml: {run}")
        if process.returncode or run["changed"]:
            say(output)

    def _happen(self, event: str) -> None:
        began = traffic.now()
        if event in ("restart proxies", "scale proxies"):
            team = self._chance.choice(tenants.TEAMS)
            if event == "restart proxies":
                self._restart(team)
            else:
                others = [count for count in range(1, MOST_REPLICAS + 1) if count != self._deployment(team)["replicas"]]
                self._scale(team, self._chance.choice(others))
        else:
            signal = {"stop Prometheus": "TERM", "kill Prometheus": "KILL"}[event]
            node = f"{CLUSTER}-control-plane"
            subprocess.run(["docker", "exec", node, "pkill", f"-{signal}", "-x", "prometheus"], check=True)
            killed = traffic.now() + 1
            wait_until("every proxy to be scraped again", lambda: self._are_scraped_since(killed), 180, 5)
        self.state["events"].append({"event": event, "began": began, "ended": traffic.now()})
        say(f"{event}: {len(self.stand.mappings())} proxies")

    def _are_scraped_since(self, moment: float) -> bool:
        """Whether every proxy was scraped after a moment; no while Prometheus does not answer."""
        try:
            return min(scraped_at(self.stand).values(), default=0) > moment
        except StandError:
            return False

    def _name_of(self, team: tenants.Team) -> str:
        """The name of the Deployment of its proxies."""
        (name,) = [name for name in self.stand.revisions() if team.gateway in name]
        return name

    def _deployment(self, team: tenants.Team) -> dict[str, Any]:
        (found,) = self.stand.get("deployments", platform.GATEWAY_NAMESPACE, name=self._name_of(team))
        return found["spec"]

    def _restart(self, team: tenants.Team) -> None:
        at = {"kubectl.kubernetes.io/restartedAt": when(traffic.now())}
        body = {"spec": {"template": {"metadata": {"annotations": at}}}}
        self.stand.patch("deployment", platform.GATEWAY_NAMESPACE, self._name_of(team), body)
        self._wait_for_proxies()

    def _scale(self, team: tenants.Team, replicas: int) -> None:
        self._set_proxy(team, {"provider": {"kubernetes": {"envoyDeployment": {"replicas": replicas}}}})
        scaled = f"{team.gateway} to be scaled to {replicas}"
        wait_until(scaled, lambda: self._deployment(team)["replicas"] == replicas, 60)
        self._wait_for_proxies()

    def _wait_for_proxies(self) -> None:
        proxies = [f"deployment/{name}" for name in self.stand.revisions()]
        self.stand.kubectl.rollout(self.stand.step, platform.GATEWAY_NAMESPACE, *proxies)

    def _kill_proxy(self) -> None:
        # The request of which it has not told goes to the only proxy of its gateway.
        (team,) = [team for team in tenants.TEAMS if team.gateway == "gateway-b"]
        self._scale(team, 1)
        wait_until("old proxies to end", lambda: not self.stand.ending_proxies(), 300)
        began = wait_for_scrapes(self.stand)
        pod, lost = kill_between_scrapes(self.stand)
        self.state["lost"].append({"pod": pod, "tokens": [[*key, tokens] for key, tokens in lost.items()]})
        self.stand.gateways()
        self.state["events"].append({"event": "kill a proxy", "began": began, "ended": traffic.now()})

    # -- the end ------------------------------------------------------------------------------------------------------

    def compare(self) -> dict[str, Any]:
        """The report and the ledger, and what differs."""
        found = account(
            self.stand,
            self.state["start"],
            wait_for_scrapes(self.stand),
            callers=[*callers(), *tenants.CALLERS],
        )
        lost = {tuple(key): tokens for item in self.state["lost"] for *key, tokens in item["tokens"]}
        told = {key: tokens - lost.get(key, 0) for key, tokens in found.served.items()}
        differing: Counter[str] = Counter()
        moved = 0
        for key in sorted(found.counted.keys() | told.keys()):
            by = found.counted.get(key, 0) - told.get(key, 0)
            namespace, dummy, model, kind = key
            differing[f"{namespace} {model} {kind}"] += by
            moved += max(by, 0)
        return {
            "served": sum(found.served.values()),
            "reported": sum(found.counted.values()),
            "lost": sum(lost.values()),
            "differing": {key: by for key, by in differing.items() if by},
            "moved": moved,
            "doubts": found.said["doubts"],
            "tenants": len({key[0] for key in found.counted}),
        }


def failures_during(state: dict[str, Any], kind: str) -> int:
    """How many requests failed while runs, or events, went on."""
    return sum(
        any(item["began"] <= moment <= item["ended"] for item in state[kind]) for moment, dummy in state["failed"]
    )


def table(runs: list[dict[str, Any]]) -> str:
    """What runs needed, by how many proxies there were: the least and the most."""
    by_proxies: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_proxies[run["proxies"]].append({**run, "seconds": round(run["ended"] - run["began"])})

    def span(found: list[dict[str, Any]], name: str) -> str:
        least, most = min(item[name] for item in found), max(item[name] for item in found)
        return f"{least}" if least == most else f"{least} to {most}"

    lines = []
    for proxies, found in sorted(by_proxies.items()):
        figures = " | ".join(span(found, name) for name in ("requests", "megabytes", "seconds"))
        lines.append(f"| {proxies} | {len(found)} | {figures} |")
    return "\n".join(["| proxies | runs | requests | MB | seconds |", "|---|---|---|---|---|", *lines])


def written(state: dict[str, Any], compared: dict[str, Any]) -> str:
    """The figures as a part of the page."""
    runs = state["runs"]
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    happened = Counter(item["event"] for item in state["events"])
    what = ", ".join(f"{event} {count}" for event, count in sorted(happened.items()))
    differing = ", ".join(f"{key}: {by:+d}" for key, by in compared["differing"].items()) or "none"
    return "\n".join(
        [
            f"{state['minutes']:.0f} minutes on {day}, {os.cpu_count()} cores, Python {machine.python_version()}: "
            f"{state['sent']} requests of {compared['tenants']} tenants, {len(runs)} runs of `site.yml`. "
            f"In between: {what}.",
            "",
            f"- Tokens served: {compared['served']}; reported: {compared['reported']}; what the killed proxy had "
            f"counted after its last scrape: {compared['lost']}; other differences by tenant, model and type: "
            f"{differing}; under another department: {compared['moved']}.",
            f"- Requests that failed: {len(state['failed'])}; while a run went on: {failures_during(state, 'runs')}; "
            f"while something happened to a proxy: {failures_during(state, 'events')}.",
            f"- Runs that failed: {sum(run['code'] != 0 for run in runs)}; that changed something: "
            f"{sum(run['changed'] for run in runs)}.",
            f"- What the report says cannot be known: {len(compared['doubts'])} doubts, the gravest first:",
            *(f"  - {doubt}" for doubt in compared["doubts"][:SHOWN_DOUBTS]),
            "",
            table(runs),
        ]
    )


def write_page(text: str) -> None:
    head, dummy, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--step-seconds", type=float, default=150, help="a run and an event take turns")
    parser.add_argument("--keep", action="store_true", help="keep the cluster and what was found")
    arguments = parser.parse_args()
    soak = Soak(arguments.minutes, arguments.step_seconds)
    soak.go_on()
    compared = soak.compare()
    text = written(soak.state, compared)
    print(text, flush=True)
    write_page(text)
    wrong = [
        what
        for what, is_so in (
            ("the report and the ledger differ", compared["differing"] or compared["moved"]),
            ("requests failed while a run went on", failures_during(soak.state, "runs")),
            ("a run failed", any(run["code"] for run in soak.state["runs"])),
        )
        if is_so
    ]
    if not arguments.keep:
        soak.forget()
    if wrong:
        raise StandError("; ".join(wrong))


main_guard(main)
