# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two clusters and one that nobody reaches in an inventory: each playbook, and one bill for all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.accuracy import served_since, wait_for_scrapes, when
from harness.inventory import play_hosts, recap
from harness.runs import Run
from harness.stand import Stand
from standlib import cluster, raising, settings, tenants

NOWHERE = {"metering_host": "https://127.0.0.1:9", "metering_api_key": "a-secret-word"}
Pair = tuple[Stand, Stand]


@pytest.fixture(scope="module")
def other(worker_id: str) -> Iterator[Stand]:
    """A second cluster with a gateway of its own."""
    name = f"{settings.DEFAULT_CLUSTER}-other-{worker_id}"
    raising.up(name)
    yield Stand(name)
    cluster.delete(name)


@pytest.fixture
def pair(metered: Stand, other: Stand) -> Pair:
    """Two clusters as `site.yml` leaves them."""
    if not other.is_metered():
        run = other.site()
        assert run.code == 0, run.output
        other.metered_state = other.lasting_state()
    return metered, other


def hosts(pair: Pair) -> dict[str, dict[str, Any]]:
    """A host for each cluster, with what only it has, and one for a cluster that is not there."""
    east, west = (
        {
            "metering_kubeconfig": str(settings.kubeconfig(stand.name)),
            "verify_address": stand.gateways().address("gateway-a"),
            "verify_tokens": [stand.gateways().token(tenants.CALLERS[0])],
        }
        for stand in pair
    )
    return {"east": east, "west": west, "nowhere": {**NOWHERE, "verify_address": "http://127.0.0.1:9"}}


def server(stand: Stand) -> str:
    """The address of its API server."""
    return str(yaml.safe_load(settings.kubeconfig(stand.name).read_text())["clusters"][0]["cluster"]["server"])


PLAYBOOKS = {
    "site": ("site", (), {}),
    "site with forks": ("site", ("--check", "--forks", "3"), {}),
    "check": ("check", (), {}),
    "report": ("report", (), {"report_period": "this_month"}),
    "chargeback": ("chargeback", ("--check",), {}),
    "verify": ("verify", (), {"verify_model": "chat-small", "verify_tokens": "token-of-nobody"}),
    "render": ("render", (), {}),
    "remove": ("remove", ("--check",), {}),
}


@pytest.mark.parametrize(("playbook", "words", "more"), PLAYBOOKS.values(), ids=PLAYBOOKS)
def test_each_cluster_is_done_and_named_and_the_one_that_is_not_reached_is_too(
    pair: Pair, tmp_path: Path, playbook: str, words: tuple[str, ...], more: dict[str, Any]
) -> None:
    found = hosts(pair)
    if playbook == "verify":
        # Each host has its own; -e would be for all of them.
        more = {"verify_model": "chat-small"}
        found["nowhere"]["verify_tokens"] = "token-of-nobody"
    if playbook == "render":
        more = {"render_dir": str(tmp_path / "rendered")}
    run = play_hosts(pair[0], found, tmp_path, playbook, *words, **more)
    assert run.code != 0
    assert recap(run) == {"east": "ok", "west": "ok", "nowhere": "failed"}, run.output
    for stand in pair:
        assert server(stand) in run.output or playbook == "render", run.output
    assert "host='127.0.0.1', port=9" in run.output
    assert "a-secret-word" not in run.output
    if playbook == "render":
        assert {path.name for path in (tmp_path / "rendered").iterdir()} == {"east", "west"}


def test_limit_leaves_the_others_alone(pair: Pair, tmp_path: Path) -> None:
    run = play_hosts(pair[0], hosts(pair), tmp_path, "check", "--limit", "west")
    assert (run.code, recap(run)) == (0, {"west": "ok"}), run.output
    assert server(pair[1]) in run.output
    assert server(pair[0]) not in run.output


def test_one_after_another_goes_no_further_than_the_first_that_fails(pair: Pair, tmp_path: Path) -> None:
    found = hosts(pair)
    order = {name: found[name] for name in ("east", "nowhere", "west")}
    run = play_hosts(pair[0], order, tmp_path, "check", metering_serial=1)
    assert run.code != 0
    assert recap(run) == {"east": "ok", "nowhere": "failed"}, run.output


def test_clusters_need_not_wait_for_each_other(pair: Pair, tmp_path: Path) -> None:
    found = hosts(pair)
    run = play_hosts(pair[0], found, tmp_path, "report", strategy="free", report_period="this_month")
    assert recap(run) == {"east": "ok", "west": "ok", "nowhere": "failed"}, run.output


# -- one bill ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def billed(pair: Pair) -> tuple[Pair, dict[str, str], dict[tuple[str, ...], int]]:
    """A period with traffic in both clusters, and what both ledgers have of it."""
    start = max(wait_for_scrapes(stand) for stand in pair)
    for rounds, stand in enumerate(pair, 1):
        stand.send(rounds)
    end = max(wait_for_scrapes(stand) for stand in pair)
    served: Counter[tuple[str, ...]] = Counter()
    for name, stand in zip(("east", "west"), pair, strict=True):
        for (namespace, dummy, model, kind), tokens in served_since(stand, start).items():
            served[name, namespace, model, kind] += tokens
    return pair, {"report_from": when(start), "report_to": when(end)}, dict(served)


def tokens_of(path: Path) -> dict[tuple[str, ...], int]:
    return {
        (row["cluster"], row["namespace"], row["model"], kind): tokens
        for row in json.loads(path.read_text())["rows"]
        for kind, tokens in row["tokens"].items()
        if tokens
    }


def report(pair: Pair, directory: Path, period: dict[str, str], *words: str, but: str = "", **more: Any) -> Run:
    found = {name: own for name, own in hosts(pair).items() if name != but}
    return play_hosts(pair[0], found, directory, "report", *words, **period, report_directory=str(directory), **more)


def test_the_merged_bill_equals_both_ledgers(billed: Any, tmp_path: Path) -> None:
    pair, period, served = billed
    run = report(pair, tmp_path, period, but="nowhere")
    assert run.code == 0, run.output
    assert tokens_of(tmp_path / "all-clusters.json") == served
    whole = json.loads((tmp_path / "all-clusters.json").read_text())
    parts = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("east", "west")]
    assert whole["total"] == sum(part["total"] for part in parts)
    assert (whole["clusters"], whole["missing"]) == (["east", "west"], {})
    assert [text for text in whole["doubts"] if not text.startswith(("east: ", "west: "))] == []
    # As two jobs with a part of the inventory each would, and somebody who puts their files together.
    for name in ("east", "west"):
        run = report(pair, tmp_path / "slices", period, "--limit", name)
        assert run.code == 0, run.output
    run = pair[0].play(
        "merge_reports", report_merge_from=str(tmp_path / "slices/*.json"), report_directory=str(tmp_path / "merged")
    )
    assert run.code == 0, run.output
    merged = json.loads((tmp_path / "merged/all-clusters.json").read_text())
    # What was uncertain a moment ago may be known by now.
    assert {**merged, "doubts": [], "doubtful_tokens": 0} == {**whole, "doubts": [], "doubtful_tokens": 0}


def test_without_one_cluster_there_is_no_bill(pair: Pair, tmp_path: Path) -> None:
    run = report(pair, tmp_path, {"report_period": "this_month"})
    assert run.code != 0
    assert recap(run) == {"east": "ok", "west": "ok", "nowhere": "failed"}
    assert "No report of all clusters was made: nowhere could not be read" in run.text
    assert "report_incomplete=true" in run.text
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["east.json", "west.json"]


def test_on_an_explicit_word_it_says_what_it_lacks(pair: Pair, tmp_path: Path) -> None:
    run = report(pair, tmp_path, {"report_period": "this_month"}, report_incomplete="true")
    assert run.code == 0, run.output
    assert not (tmp_path / "all-clusters.json").exists()
    whole = json.loads((tmp_path / "all-clusters-incomplete.json").read_text())
    assert list(whole["missing"]) == ["nowhere"]
    assert NOWHERE["metering_host"].removeprefix("https://").split(":")[0] in whole["missing"]["nowhere"]
    assert whole["doubts"][0].startswith("INCOMPLETE: the cluster nowhere was not read")
    assert "INCOMPLETE: what nowhere has used" in (tmp_path / "all-clusters-incomplete.html").read_text()


def test_where_no_cluster_was_read_there_is_no_report_whatever_was_said(pair: Pair, tmp_path: Path) -> None:
    run = play_hosts(
        pair[0],
        {"nowhere": NOWHERE, "anywhere": {**NOWHERE, "metering_host": "https://127.0.0.1:10"}},
        tmp_path,
        "report",
        report_period="this_month",
        report_directory=str(tmp_path),
        report_incomplete="true",
    )
    assert run.code != 0
    assert "No cluster could be read, so there is no report" in run.text
    assert list(tmp_path.glob("*.json")) == []


def test_the_first_cluster_need_not_be_one_that_was_read(pair: Pair, tmp_path: Path) -> None:
    found = hosts(pair)
    order = {name: found[name] for name in ("nowhere", "east", "west")}
    more = {"report_directory": str(tmp_path), "report_incomplete": "true"}
    run = play_hosts(pair[0], order, tmp_path, "report", report_period="this_month", **more)
    assert run.code == 0, run.output
    assert json.loads((tmp_path / "all-clusters-incomplete.json").read_text())["clusters"] == ["east", "west"]


def test_a_cluster_that_was_read_is_in_the_bill_though_its_own_files_cannot_be_written(
    pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "east.json").mkdir()
    run = report(pair, tmp_path, {"report_period": "this_month"}, but="nowhere")
    assert recap(run) == {"east": "failed", "west": "ok"}, run.output
    assert json.loads((tmp_path / "all-clusters.json").read_text())["clusters"] == ["east", "west"]


def test_what_an_earlier_play_has_read_is_in_no_later_bill(pair: Pair, tmp_path: Path) -> None:
    lose = {"ansible.builtin.set_fact": {"metering_kubeconfig": str(tmp_path / "none.yaml")}}
    ours = {"ansible.builtin.import_playbook": "aigateway.metering.report"}
    plays = tmp_path / "twice.yml"
    plays.write_text(json.dumps([ours, {"hosts": "west", "gather_facts": False, "tasks": [lose]}, ours]))
    found = {name: own for name, own in hosts(pair).items() if name != "nowhere"}
    run = play_hosts(pair[0], found, tmp_path, str(plays), report_period="this_month")
    assert recap(run) == {"east": "ok", "west": "failed"}, run.output
    assert "No report of all clusters was made: west could not be read" in run.text


def test_a_bill_of_some_does_not_have_the_name_of_that_of_all(pair: Pair, tmp_path: Path) -> None:
    run = report(pair, tmp_path, {"report_period": "this_month"}, "--limit", "east,west")
    assert run.code == 0, run.output
    assert (tmp_path / "all-clusters-limited.json").exists()
    assert not (tmp_path / "all-clusters.json").exists()
