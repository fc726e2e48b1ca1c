# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which writes a run would do, and what is said of those that would not be taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError, RefusedError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import controller as _controller
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import mapping as _mapping
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import proxy, writer
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.mapping import Record
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.client import UnknownFieldsError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import rehearsal
from ansible_collections.aigateway.metering.plugins.module_utils._modules.rehearsal import Write
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import plan as _plan
from ansible_collections.aigateway.metering.tests.unit.objects import (
    OURS,
    controller,
    deployment,
    extproc,
    monitoring,
    pairs,
    pod,
    pod_monitor,
    prometheus,
    sidecar,
)

# Nothing is written by it here.
CLUSTER: Any = SimpleNamespace(create=dict, replace=dict, delete=dict)
NEW = "x-user-namespace:user_namespace"


def recorded(mapping: str) -> _controller.Controller:
    """A controller as a run leaves it."""
    found = controller(mapping)
    found.deployment["metadata"]["annotations"]["aigateway.metering/mapping"] = mapping
    return _controller.find_controller([found.deployment])


def proxies(*emitted: str) -> list[proxy.Proxy]:
    """A proxy for each of these mappings, in a namespace of its own."""
    found = []
    for number, mapping in enumerate(emitted):
        namespace = f"n{number}"
        found.append((deployment("proxy", namespace), pod("p", namespace, containers=[extproc(mapping)])))
    return proxy.proxies_of([("Deployment", item) for item, dummy in found], [item for dummy, item in found])


def merged(own: _controller.Controller, wanted: str) -> _mapping.Merge:
    return _mapping.merge_mappings(own.pairs, {}, pairs(wanted), base=own.base, removed=Record().removed, consent=False)


def permissions(own: _controller.Controller, wanted: str, found: list[proxy.Proxy], plan: Any = None) -> list[Any]:
    return [write.permission for write in rehearsal.writes_of(CLUSTER, own, merged(own, wanted), found, plan)]


def test_where_nothing_is_to_be_done_nothing_is_written():
    assert permissions(recorded(NEW), NEW, proxies(NEW)) == []


def test_a_new_pair_is_written_to_the_controller_and_restarts_proxies():
    own = controller("")
    assert permissions(own, NEW, proxies("")) == [
        ("patch", "apps", "deployments", own.namespace),
        ("patch", "apps", "deployments", "n0"),
    ]


@pytest.mark.parametrize("sets_flag", [True, False], ids=["by us", "by Helm"])
def test_the_flag_is_tried_to_be_set_only_where_this_run_sets_it(monkeypatch, sets_flag):
    tried = []
    monkeypatch.setattr(writer, "write", lambda *given, **dummy: tried.append(given[2]))
    own = controller("")
    (write,) = rehearsal.writes_of(CLUSTER, own, merged(own, NEW), [], None, sets_flag=sets_flag)
    write.of(dry_run=True)
    assert tried == [tuple(pairs(NEW)) if sets_flag else ()]


def test_a_record_that_is_missing_is_written():
    own = controller(NEW)
    assert permissions(own, NEW, proxies(NEW)) == [("patch", "apps", "deployments", own.namespace)]


def test_of_the_proxies_of_a_namespace_one_stands_for_all():
    everything = proxies("", NEW, "")
    assert [namespace for *dummy, namespace in permissions(recorded(NEW), NEW, [*everything, *everything])] == [
        "n0",
        "n2",
    ]


def test_a_monitor_is_created_where_there_is_none():
    plan = _plan.plan_scrape(monitoring(), prometheus(), [sidecar()])
    assert permissions(recorded(NEW), NEW, [], plan) == [("create", "monitoring.coreos.com", "podmonitors", "gateways")]


def test_ours_that_is_too_many_is_removed():
    two = monitoring(pod_monitor("a"), pod_monitor("b", labels=OURS))
    plan = _plan.plan_scrape(two, prometheus(), [sidecar()])
    assert permissions(recorded(NEW), NEW, [], plan) == [("delete", "monitoring.coreos.com", "podmonitors", "gateways")]


class Refusing:
    """A cluster that answers each dry run by what its write yields or raises."""

    def rehearse(self, write: Any) -> Any:
        return write()


def refused() -> Any:
    raise RefusedError("no.", "no.", "no.")


def denied() -> Any:
    raise MeteringError("A policy says no.", "Nothing was changed.", "ask its owner.")


def unknown_field() -> Any:
    raise UnknownFieldsError(frozenset({"spec.a"}))


def rehearsed(*outcomes: Any) -> list[str]:
    cluster: Any = Refusing()
    writes = []
    for number, outcome in enumerate(outcomes):
        writes.append(Write(("patch", "apps", "deployments", f"n{number}"), f"Deployment n{number}/m", outcome))
    return rehearsal.rehearse(cluster, writes)


def test_writes_that_would_be_taken_are_not_mentioned():
    assert rehearsed(dict, lambda: {"spec": {}}) == []


def test_a_write_of_which_nothing_is_known_is_a_caution():
    (caution,) = rehearsed(lambda: {"spec": {}}, lambda: None)
    assert caution.startswith("It is not known if the API server would accept the change of Deployment n1/m")


def test_all_permissions_that_lack_are_named_at_once():
    with pytest.raises(MeteringError, match=r"patch deployments\.apps in n0; patch deployments\.apps in n2\."):
        rehearsed(refused, dict, refused)


def test_a_write_that_would_be_refused_is_named():
    with pytest.raises(MeteringError, match=r"Deployment n1/m: A policy says no\. Nothing was changed\."):
        rehearsed(dict, denied)


def test_a_field_that_the_kind_lacks_is_named():
    with pytest.raises(MeteringError, match=r"Deployment n0/m needs the field spec\.a"):
        rehearsed(unknown_field)
