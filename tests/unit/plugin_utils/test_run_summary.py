# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines with which a run ends."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.plugin_utils import _run_summary


def summary(*, check_mode=False, dashboard="cpaas-system/token-usage", **changed):
    """The lines of a run that changed nothing, with some of its results changed, or none (None)."""
    results: dict[str, dict[str, Any]] = {
        "gateway": {
            "controller": {"version": "v1.0.0"},
            "labels": {},
            "cautions": [],
            "prometheus": "monitoring/main",
            "names": ["gen_ai_client_token_usage_sum"],
        },
        "labels": {
            "server": "https://cluster.example",
            "controller": "system/controller",
            "before": "x-a:a",
            "after": "x-a:a,x-user-namespace:user_namespace",
        },
        "rollout": {"restarted": [], "waited": [], "stale": [], "current": ["gateways/proxy"]},
        "monitor": {
            "kept": "gateways/monitor",
            "created": "",
            "updated": "",
            "removed": [],
        },
        "check": {
            "pools": {"podMonitor/gateways/monitor/0": 2},
            "targets": 2,
            "scraped_once": True,
            "no_traffic": False,
        },
        "entrance": {},
    }
    for key, value in changed.items():
        results[key] = {} if value is None else results[key] | value
    return _run_summary.summary_lines(**results, dashboard=dashboard, check_mode=check_mode)


def line(lines, beginning):
    """The one line that begins so, without its beginning."""
    (found,) = [text.removeprefix(beginning) for text in lines if text.startswith(beginning)]
    return found


def state(reason):
    return {"carries_data": not reason, "expected": True, "reason": reason}


MUCH = {
    "gateway": {
        "controller": {"version": "v" * 300},
        "labels": {f"label{number}": state("because " * 60) for number in range(30)},
        "cautions": ["take care " * 60] * 30,
        "names": ["name"] * 50,
    },
    "labels": {"server": "s" * 300, "before": "x-a:a," * 100, "after": "x-a:a," * 100},
    "rollout": {"restarted": ["gateways/proxy"] * 50, "waited": ["gateways/other"] * 50, "stale": ["ns/c"] * 50},
    "monitor": {"removed": ["gateways/monitor"] * 50},
    "check": {
        "pools": {f"podMonitor/gateways/m{number}/0": 1 for number in range(50)},
    },
    "dashboard": "where " * 100,
}


@pytest.mark.parametrize(
    "changed",
    [pytest.param({}, id="little to say"), pytest.param(MUCH, id="much to say")],
)
class TestHoweverMuchThereIsToSay:
    def test_it_is_at_most_20_lines(self, changed):
        assert sum(len(text.splitlines()) for text in summary(**changed)) <= 20

    def test_the_last_line_says_what_to_do_next(self, changed):
        assert summary(**changed)[-1].startswith("next: ")


def test_a_caution_is_cut_to_a_line():
    said = line(summary(gateway={"cautions": [f"{'take care ' * 60}now. Set a to b."]}), "caution: ")
    assert (len(said), said.endswith("... Set a to b.")) == (160, True)


@pytest.mark.parametrize("text", ["take care " * 60, "x" * 6000], ids=["words", "one word"])
def test_a_caution_of_one_sentence_is_cut_as_well(text):
    said = line(summary(gateway={"cautions": [text]}), "caution: ")
    assert (len(said), said[-3:]) == (160, "...")


def test_what_to_do_stays_whole_before_the_next_command():
    said = line(
        summary(gateway={"cautions": [f"{'take care ' * 60}now. Set a to b. Next: kubectl get x"]}), "caution: "
    )
    assert said.endswith("... Set a to b. Next: kubectl get x")


def test_what_to_do_after_a_failure_stands_before_the_next_command():
    failed = {"failed": True, "found": "There is one.", "advice": "Choose another name.", "command": "kubectl get x"}
    assert summary(monitor={**failed})[-2:] == ["to do: Choose another name.", "next: kubectl get x"]


@pytest.mark.parametrize("command", ["kubectl get pods", "kubectl get " + "pods " * 60], ids=["short", "long"])
def test_the_next_command_of_a_caution_stays_whole(command):
    said = line(summary(gateway={"cautions": [f"{'take care ' * 60} Next: {command.strip()}"]}), "caution: ")
    assert said.startswith("take care take care")
    assert said.endswith(f"... Next: {command.strip()}")


def test_the_warnings_of_every_module_are_cautions_each_once():
    said = summary(
        gateway={"cautions": ["one"], "warnings": ["one"]},
        labels={"warnings": ["Helm"]},
        rollout={"warnings": ["a tail"]},
        check={"warnings": ["twice"]},
    )
    found = [text.removeprefix("caution: ") for text in said if text.startswith("caution: ")]
    # What is counted twice now goes before what may be lost one day.
    assert found == ["twice", "one", "Helm", "a tail"]


def test_how_many_more_cautions_there_are_is_said():
    said = summary(gateway={"cautions": [f"number {count}" for count in range(30)]})
    cautions = [text for text in said if text.startswith("caution: ")]
    assert (len(said), cautions[0]) == (20, "caution: number 0")
    assert cautions[-1].startswith(f"caution: {30 - len(cautions) + 1} more, ")


@pytest.mark.parametrize(
    ("changed", "beginning"),
    [
        pytest.param({"labels": {"after": "x-a:a," * 100}}, "pairs after: ", id="pairs"),
        pytest.param({"rollout": {"stale": ["gateways/proxy"] * 50}}, "proxies restarted: ", id="stale proxies"),
    ],
)
def test_what_is_told_nowhere_else_is_not_cut(changed, beginning):
    assert not line(summary(**changed), beginning).endswith("...")


# --- what is said -----------------------------------------------------------------------------------------------------


def test_check_mode_is_said():
    assert line(summary(check_mode=True), "cluster: ").endswith("(check mode: nothing was changed)")


def test_check_mode_is_not_said_of_a_real_run():
    assert "check mode" not in "\n".join(summary())


@pytest.mark.parametrize("where", ["cpaas-system/token-usage", "skipped, the cluster has no MonitorDashboard"])
def test_where_the_dashboard_is_or_why_there_is_none_is_said(where):
    assert line(summary(dashboard=where), "dashboard: ") == where


def test_labels_with_data_are_said():
    states = {"user_namespace": state(""), "department": state("no traffic yet"), "team": state("")}
    assert line(summary(gateway={"labels": states}), "labels with data: ") == "user_namespace, team"


def test_that_no_label_has_data_is_said():
    assert line(summary(), "labels with data: ") == "none yet"


def test_why_a_label_has_no_data_is_said():
    states = {"department": state("no SecurityPolicy sets x-user-group")}
    said = line(summary(gateway={"labels": states}), "labels without data: ")
    assert said == "department: no SecurityPolicy sets x-user-group"


def test_how_many_more_labels_have_no_data_is_said():
    states = {f"label{number}": state("no traffic yet") for number in range(6)}
    assert "labels without data: 2 more" in summary(gateway={"labels": states})


def test_cautions_are_said():
    assert line(summary(gateway={"cautions": ["mind the gap"]}), "caution: ") == "mind the gap"


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        pytest.param({}, "none; current already: 1", id="nothing"),
        pytest.param({"restarted": ["ns/a", "ns/b"], "current": []}, "ns/a, ns/b; current already: 0", id="restarted"),
        pytest.param({"waited": ["ns/c"]}, "none; rolled by the gateway: ns/c; current already: 1", id="waited for"),
        pytest.param({"stale": ["ns/d"]}, "none; LEFT STALE: ns/d; current already: 1", id="left stale"),
    ],
)
def test_which_proxies_were_restarted_is_said(rollout, said):
    assert line(summary(rollout=rollout), "proxies restarted: ") == said


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        pytest.param({}, "kept gateways/monitor", id="kept"),
        pytest.param({"kept": "", "created": "gateways/new"}, "created gateways/new", id="created"),
        pytest.param({"updated": "gateways/monitor"}, "updated gateways/monitor", id="brought back"),
        pytest.param({"kept": ""}, "none", id="none"),
        pytest.param({"removed": ["ns/a", "ns/b"]}, "kept gateways/monitor; removed ns/a, ns/b", id="removed"),
    ],
)
def test_what_became_of_the_monitors_is_said(monitor, said):
    assert line(summary(monitor=monitor), "PodMonitor: ") == said


def test_what_scrapes_the_sidecars_is_said():
    said = line(summary(), "scrape by monitoring/main: ")
    assert said == "2 targets, each scraped once and up, in podMonitor/gateways/monitor/0 (2)"


FAILED = {"failed": True, "found": "PodMonitor ns/b scrapes what ns/a scrapes.", "command": "kubectl delete ns/b"}


@pytest.mark.parametrize("where", ["monitor", "check"])
class TestAScrapeThatIsNotRight:
    def test_is_said(self, where):
        assert line(summary(**{where: FAILED}), "scrape by monitoring/main: ") == f"FAILED: {FAILED['found']}"

    def test_comes_with_the_command_that_mends_it(self, where):
        assert line(summary(**{where: FAILED}), "next: ") == FAILED["command"]


def test_sidecars_scraped_several_times_are_said():
    assert "some scraped several times" in line(summary(check={"scraped_once": False}), "scrape by monitoring/main: ")


def test_that_the_targets_were_not_checked_is_said():
    assert line(summary(check=None), "scrape by monitoring/main: ") == "not checked, nothing was changed"


@pytest.mark.parametrize(
    ("names", "said"), [(["a_sum", "b.sum"], "a_sum, b.sum"), ([], "nothing yet")], ids=["names", "none"]
)
def test_under_which_names_tokens_are_stored_is_said(names, said):
    assert line(summary(gateway={"names": names}), "stored as: ") == said


@pytest.mark.parametrize(("before", "said"), [("x-a:a", "x-a:a"), ("", "none")], ids=["some", "none"])
def test_the_mapping_as_it_was_is_said(before, said):
    assert line(summary(labels={"before": before}), "pairs before: ") == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"check_mode": True}, "run it without --check", id="check mode"),
        pytest.param({"check": {"no_traffic": True}}, "send a request through the gateway", id="no traffic"),
        pytest.param({"rollout": {"stale": ["ns/d"]}}, "in the maintenance window", id="stale proxies"),
        pytest.param({}, "open the dashboard", id="all is well"),
    ],
)
def test_what_to_do_next_is_said(options, said):
    assert line(summary(**options), "next: ").startswith(said)
