# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`site.yml` on the real gateway: what it changes, what it keeps, and how it goes on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from harness.cluster import CONTROLLER, FLAG
from harness.runs import Run, kill
from harness.stand import Stand
from standlib import platform
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
OURS = f"{NAMESPACE}/ai-gateway-metrics"
METERED = f"{platform.PLATFORM_MAPPING},x-user-group:department"


def grown(before: dict[str, int], after: dict[str, int]) -> set[int]:
    """By how much the proxies' revisions went up."""
    assert before.keys() == after.keys()
    return {after[name] - before[name] for name in before}


@dataclass
class TwoRuns:
    """`site.yml` twice, from the platform's state, with traffic before, between and after."""

    labels_before: set[str]
    labels_after: set[str]
    revisions: list[dict[str, int]]
    runs: list[Run]


@pytest.fixture(scope="module")
def two_runs(stand: Stand) -> TwoRuns:
    stand.reset()
    stand.send()
    labels_before = stand.exposed_labels()
    revisions = [stand.revisions()]
    first = stand.site()
    revisions.append(stand.revisions())
    stand.send()
    second = stand.site()
    revisions.append(stand.revisions())
    return TwoRuns(labels_before, stand.exposed_labels(), revisions, [first, second])


def test_both_runs_succeed(two_runs: TwoRuns) -> None:
    assert [run.code for run in two_runs.runs] == [0, 0], "\n".join(run.output for run in two_runs.runs)


def test_the_labels_at_the_sidecars_before_are_a_subset_of_those_after(two_runs: TwoRuns) -> None:
    assert two_runs.labels_before <= two_runs.labels_after


def test_the_department_is_at_the_sidecars_after_and_was_not_before(two_runs: TwoRuns) -> None:
    assert "department" in two_runs.labels_after - two_runs.labels_before


def test_each_proxy_rolls_exactly_once_for_one_change(two_runs: TwoRuns) -> None:
    assert grown(two_runs.revisions[0], two_runs.revisions[1]) == {1}


def test_the_second_run_rolls_no_proxy(two_runs: TwoRuns) -> None:
    assert grown(two_runs.revisions[1], two_runs.revisions[2]) == {0}


def test_the_second_run_changes_nothing(two_runs: TwoRuns) -> None:
    assert two_runs.runs[1].changed == 0, two_runs.runs[1].output


def test_the_summary_has_at_most_20_lines(two_runs: TwoRuns) -> None:
    block = two_runs.runs[0].output.split('"metering_summary": [')[1].split("\n    ]")[0]
    assert 10 <= len(block.strip().splitlines()) <= 20


def test_the_summary_of_the_second_run_names_the_labels_that_carry_data(two_runs: TwoRuns) -> None:
    assert "labels with data: user_namespace, department" in two_runs.runs[1].text


def test_the_summary_says_why_a_label_carries_no_data(two_runs: TwoRuns) -> None:
    assert "labels without data: user: no policy or route sets x-user-name" in two_runs.runs[1].text


def test_an_encoded_array_claim_is_named(two_runs: TwoRuns) -> None:
    assert 'The label department carries encoded array claims such as ["sales","support"]' in two_runs.runs[1].text


def test_check_mode_says_what_would_change_and_changes_nothing(fresh: Stand) -> None:
    before = fresh.state()
    run = fresh.site("--check", "--diff")
    assert run.code == 0, run.output
    assert run.changed == 4
    assert f"+{FLAG}{METERED}" in run.output
    assert fresh.state() == before


def test_pairs_that_only_sidecars_still_emit_come_back_into_the_flag(fresh: Stand) -> None:
    fresh.set_flag("x-user-namespace:user_namespace")
    result = fresh.module("merge_metrics_attributes", pairs="x-user-namespace:user_namespace")
    assert result["recovered"] == ["x-user-name:user", "x-access-meta:client_id"]
    assert set(fresh.flag().split(",")) == set(platform.PLATFORM_MAPPING.split(","))


def test_a_flag_brought_back_to_what_the_sidecars_have_restarts_no_proxy(fresh: Stand) -> None:
    before = fresh.revisions()
    fresh.set_flag("x-user-namespace:user_namespace")
    fresh.module("merge_metrics_attributes", pairs="x-user-namespace:user_namespace")
    assert fresh.module("proxy_rollout")["changed"] is False
    assert grown(before, fresh.revisions()) == {0}


def test_a_run_killed_between_the_flag_and_the_proxies_is_finished_by_the_next(fresh: Stand) -> None:
    before = fresh.revisions()
    process = fresh.start("site")
    wait_until("the controller's flag to be written", lambda: fresh.flag() == METERED, 60, 0.05)
    kill(process)
    assert set(fresh.mappings().values()) == {platform.PLATFORM_MAPPING}
    run = fresh.site()
    assert run.code == 0, run.output
    assert set(fresh.mappings().values()) == {METERED}
    assert grown(before, fresh.revisions()) == {1}


def test_two_runs_at_once_end_as_one(fresh: Stand) -> None:
    before = fresh.revisions()
    runs = [fresh.start("site"), fresh.start("site")]
    outputs = [process.communicate()[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], "\n".join(outputs)
    assert fresh.flag() == METERED
    assert fresh.monitors() == {OURS}
    assert grown(before, fresh.revisions()) == {1}


@pytest.fixture
def rolled_by_the_gateway(self_rolling: Stand) -> Iterator[Stand]:
    """A stand-in for v1.1's controller, which is not to be had as a module: it rolls the proxies by an annotation."""

    def gateway() -> None:
        wait_until("the flag to change", lambda: self_rolling.flag() == METERED, 60, 0.2)
        self_rolling.wait_for_controller()  # only the new leader rolls, and only the new webhook is asked then
        self_rolling.annotate_proxies("aigateway.envoyproxy.io/extproc-config-hash", "after")

    with ThreadPoolExecutor(1) as pool:
        rolled = pool.submit(gateway)
        yield self_rolling
        rolled.result()


def test_proxies_that_the_gateway_rolls_itself_are_waited_for_and_not_restarted(rolled_by_the_gateway: Stand) -> None:
    before = rolled_by_the_gateway.revisions()
    assert rolled_by_the_gateway.module("merge_metrics_attributes")["changed"]
    assert rolled_by_the_gateway.module("proxy_rollout")["restarted"] == []
    assert grown(before, rolled_by_the_gateway.revisions()) == {1}
    assert set(rolled_by_the_gateway.mappings().values()) == {METERED}


def test_proxies_that_the_gateway_should_roll_and_does_not_are_restarted_in_the_end(self_rolling: Stand) -> None:
    """It happens to v1.1 when a proxy is created while an old controller still answers the webhook."""
    assert self_rolling.module("merge_metrics_attributes")["changed"]
    assert len(self_rolling.module("proxy_rollout", self_roll_timeout=3)["restarted"]) == 2
    assert set(self_rolling.mappings().values()) == {METERED}


def test_the_pairs_that_were_added_are_recorded_on_the_controller(metered: Stand) -> None:
    assert metered.records()["added-pairs"] == "x-user-group:department"


def test_the_controller_is_found_with_its_flag_in_two_words(fresh: Stand) -> None:
    """Go takes `-x v` as well as `--x=v`; a patch by hand may have left either."""
    container = fresh.controller()["spec"]["template"]["spec"]["containers"][0]
    rest = [word for word in container["args"] if not word.startswith(FLAG)]
    args = [*rest, f"-{FLAG.strip('-=')}", platform.PLATFORM_MAPPING]
    body = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": args}]}}}}
    words = ["deployment", CONTROLLER, "--namespace", NAMESPACE]
    fresh.kubectl.run(fresh.step, "patch", *words, "-p", json.dumps(body))
    try:
        result = fresh.module("merge_metrics_attributes")
        assert result["changed"], result
        after = fresh.controller()["spec"]["template"]["spec"]["containers"][0]["args"]
        assert after[-2:] == [f"-{FLAG.strip('-=')}", METERED]
    finally:
        body["spec"]["template"]["spec"]["containers"][0]["args"] = container["args"]
        fresh.kubectl.run(fresh.step, "patch", *words, "-p", json.dumps(body))
        fresh.kubectl.rollout(fresh.step, NAMESPACE, f"deployment/{CONTROLLER}")
