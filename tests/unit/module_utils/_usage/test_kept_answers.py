# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers that are kept: which, for whom, and that nobody else reads them."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.replica import Replica
from ansible_collections.aigateway.metering.plugins.module_utils._usage import kept_answers
from ansible_collections.aigateway.metering.plugins.module_utils._usage.kept_answers import Answers

NOW = 1_000_000.0
OVER = NOW - 4 * 3600


class Counting:
    """A Prometheus that tells how often it was asked."""

    name = "monitoring/main-0"

    def __init__(self) -> None:
        self.asked = 0

    def hide(self, text: str) -> str:
        return text

    def text(self, *dummy: Any) -> str:
        self.asked += 1
        result = [{"metric": {"é": '"'}, "values": [[1.5, str(self.asked)]]}]
        return json.dumps({"status": "success", "data": {"result": result}})


def replica(api: Counting, path: Path, owner: str = "main") -> Replica:
    (found,) = kept_answers.with_kept_answers([Replica((api,))], Answers(str(path)), owner, NOW)
    return found


def test_a_question_about_a_time_that_is_over_is_asked_once(tmp_path):
    api = Counting()
    first = replica(api, tmp_path / "kept").query("up", OVER)
    # Another run, or the same one after it was killed.
    assert replica(api, tmp_path / "kept").query("up", OVER) == first
    assert api.asked == 1


@pytest.mark.parametrize("at", [None, NOW, NOW - 3600], ids=["now, as the store knows it", "now", "an hour ago"])
def test_what_may_change_is_asked_each_time(tmp_path, at):
    api = Counting()
    own = replica(api, tmp_path / "kept")
    own.query("up", at)
    own.query("up", at)
    assert api.asked == 2


@pytest.mark.parametrize(
    ("promql", "at", "apart", "owner"),
    [
        pytest.param("down", OVER, False, "main", id="another question"),
        pytest.param("up", OVER - 0.001, False, "main", id="another time"),
        pytest.param("up", OVER, True, "main", id="told apart by replica"),
        pytest.param("up", OVER, False, "other", id="another store"),
    ],
)
def test_an_answer_is_of_its_own_question_only(tmp_path, promql, at, apart, owner):
    api = Counting()
    replica(api, tmp_path / "kept").query("up", OVER)
    replica(api, tmp_path / "kept", owner).query(promql, at, apart=apart)
    assert api.asked == 2


def test_only_its_owner_may_read_them(tmp_path):
    path = tmp_path / "new" / "kept"
    replica(Counting(), path).query("up", OVER)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)


def test_old_ones_are_removed(tmp_path, monkeypatch):
    api = Counting()
    replica(api, tmp_path / "kept").query("up", OVER)
    later = time.time() + kept_answers.KEPT + 1
    monkeypatch.setattr(time, "time", lambda: later)
    replica(api, tmp_path / "kept").query("up", OVER)
    assert api.asked == 2


def test_a_file_that_is_something_else_is_named_and_left(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("model,price\n" * 100)
    with pytest.raises(MeteringError, match=r"prices\.csv cannot be used as the cache .* Correct report_cache"):
        Answers(str(path))
    assert path.read_text() == "model,price\n" * 100


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MeteringError, match=r"file/kept cannot be used as the cache of a report"):
        Answers(str(tmp_path / "file" / "kept"))
