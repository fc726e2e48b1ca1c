# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module that runs in the process of its action has the result that it has in a process of its own."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import os
import socket
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.aigateway.metering.plugins.module_utils import _errors, _progress
from ansible_collections.aigateway.metering.plugins.module_utils._modules import runner
from ansible_collections.aigateway.metering.plugins.plugin_utils import _in_process
from ansible_collections.aigateway.metering.plugins.plugin_utils._in_process import Call

ROOT = Path(__file__).parents[3]

OPTIONS = {
    "gateways": {"type": "list", "elements": "str", "default": []},
    "number": {"type": "int", "default": 7},
    "tokens": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "path": {"type": "path"},
    "mapping": {"type": "dict", "default": {}},
}


def returns(module, dummy):
    module.warn("first")
    module.warn("second")
    module.warn("first")
    return {
        "changed": not module.check_mode,
        "seen": {name: module.params[name] for name in OPTIONS},
        "pair": ("a", 1),
        "where": str(Path.cwd()),
        "variable": os.environ.get("METERING_TEST"),
    }


def refuses(module, dummy):
    module.warn("on the way")
    raise _errors.MeteringError("It is wrong.", "It matters.", "do this.", rows=[1])


def breaks(*dummy):
    raise ValueError("sk-secret is odd")


def fails(module, dummy):
    module.fail_json(msg="as it was", more=1)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.setattr(runner, "Cluster", lambda dummy: SimpleNamespace(server="https://api", limits=""))


def worker(work) -> Any:
    return SimpleNamespace(OPTIONS=OPTIONS, run_module=work)


def here(work, arguments, **options):
    return _in_process.run_in_process(worker(work), Call("x", arguments, **options), lambda dummy: None)


@pytest.fixture
def in_its_own(capsys, monkeypatch):
    """The result of the same module, as Ansible starts one."""
    said: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.warn", lambda warning, **dummy: said.append(warning))

    def call(work, arguments, check_mode):
        with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), contextlib.suppress(SystemExit):
            runner.run(worker(work))
        result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        # Ansible keeps warnings by process, and shows each text once.
        return {**result, "warnings": list(dict.fromkeys(said))}

    return call


@pytest.mark.parametrize("check_mode", [False, True], ids=["run", "check"])
@pytest.mark.parametrize("work", [returns, refuses, breaks, fails])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"gateways": "a/b, c/d", "number": "3", "tokens": ["sk-secret"], "path": "~/x", "mapping": '{"a": 1}'},
        {"kubeconfig": "/k", "validate_certs": "no", "gateways": ["a/b"], "mapping": {"a": {"b": [1.5, None, True]}}},
        {"gateways": ["not one"]},
    ],
    ids=["nothing", "texts", "what they are", "refused"],
)
def test_the_result_is_the_same_both_ways(in_its_own, work, arguments, check_mode):
    expected = in_its_own(work, arguments, check_mode)
    found = {"warnings": [], **here(work, arguments, check_mode=check_mode)}
    # Since ansible-core 2.21 a module returns its arguments only on demand; our action leaves them out then.
    assert {"invocation": found["invocation"], **expected} == found


@pytest.mark.parametrize(
    "arguments",
    [
        {"numbr": 1},
        {"number": "many"},
        {"validate_certs": True, "verify_ssl": True},
        {"mapping": {datetime.date(2026, 11, 1): "a"}},
        {"mapping": {"a": b"bytes"}},
    ],
    ids=["unknown", "of another type", "a name and its alias", "a date as a key", "bytes"],
)
def test_arguments_of_which_ansible_has_to_say_something_are_left_to_it(arguments):
    assert here(returns, arguments) is None


def test_what_ansible_attaches_to_values_does_not_reach_the_module():
    class Tagged(str):
        __slots__ = ("tag",)

    mapping = {Tagged("day"): datetime.date(2026, 11, 1), True: "b", None: "c", 1.5: "d"}
    found = here(returns, {"mapping": mapping, "gateways": (Tagged("a/b"),)})
    assert found["seen"]["mapping"] == {"day": "2026-11-01", "true": "b", "null": "c", "1.5": "d"}
    assert found["seen"]["gateways"] == ["a/b"]


def test_arguments_stay_as_they_were():
    arguments: Any = {"mapping": {"a": [1]}, "gateways": "a/b"}
    here(lambda module, dummy: module.params["mapping"]["a"].append(2) or {}, arguments)
    assert arguments == {"mapping": {"a": [1]}, "gateways": "a/b"}


def test_it_has_the_environment_and_the_directory_of_its_task(tmp_path):
    found = here(returns, {}, environment={"METERING_TEST": 7}, directory=str(tmp_path))
    assert (found["variable"], found["where"]) == ("7", str(tmp_path))


@pytest.mark.parametrize("work", [returns, refuses, breaks], ids=["returns", "fails", "breaks"])
def test_the_process_is_as_before_afterwards(work, tmp_path):
    def meddles(module, cluster):
        os.environ["METERING_TEST_LEFT"] = "x"
        os.environ.pop("HOME", None)
        os.chdir("/")
        socket.setdefaulttimeout(1)
        warnings.simplefilter("error")
        return work(module, cluster)

    before = (dict(os.environ), Path.cwd(), socket.getdefaulttimeout(), list(warnings.filters))
    here(meddles, {}, environment={"METERING_TEST": 1}, directory=str(tmp_path))
    assert (dict(os.environ), Path.cwd(), socket.getdefaulttimeout(), list(warnings.filters)) == before
    assert _progress.listener is None


def test_lines_of_progress_are_shown_at_once():
    lines: list[str] = []

    def tells(*dummy):
        _progress.tell("so\nfar")
        return {}

    _in_process.run_in_process(worker(tells), Call("x", {}), lines.append)
    assert lines == ["so far"]


def test_an_end_without_a_result_is_told():
    with pytest.raises(RuntimeError, match="without a result"):
        here(lambda *dummy: sys.exit(3), {})


def test_without_a_library_a_module_runs_as_modules_usually_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes.dynamic", None)
    assert _in_process.load_worker("drift_info") is None


def test_clients_are_made_as_in_a_new_process(monkeypatch):
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", "when-imported")
    Configuration.set_default(Configuration(host="https://of-an-earlier-item"))
    found = here(
        lambda *dummy: {
            "path": kube_config.KUBE_CONFIG_DEFAULT_LOCATION,
            "host": Configuration.get_default_copy().host,
        },
        {},
        environment={"KUBECONFIG": "/of-the-task"},
    )
    assert (found["path"], found["host"]) == ("/of-the-task", Configuration().host)
    assert kube_config.KUBE_CONFIG_DEFAULT_LOCATION == "when-imported"


def test_client_keys_are_removed(tmp_path, monkeypatch):
    from kubernetes.config import kube_config

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def reads(*dummy):
        kube_config._create_temp_file_with_content("a key")
        return {"there": len(list(tmp_path.iterdir()))}

    found = here(reads, {})
    assert (found["there"], list(tmp_path.iterdir())) == (1, [])


@pytest.mark.parametrize("path", sorted((ROOT / "plugins" / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_each_module_has_a_worker_and_an_action_of_its_name(path):
    action = importlib.import_module(f"ansible_collections.aigateway.metering.plugins.action.{path.stem}")
    module = importlib.import_module(f"ansible_collections.aigateway.metering.plugins.modules.{path.stem}")
    assert action.ActionModule.worker is not None
    assert action.ActionModule.worker.__name__.rpartition(".")[2] == path.stem
    # The module runs that very worker.
    assert path.stem in module.main.__code__.co_names
