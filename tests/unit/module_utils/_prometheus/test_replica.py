# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a replica is asked, and what its answers are taken for."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import promql_parser
import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import prom_scrape_check, verify_token_usage
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import api
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import replica as _replica
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import backend
from ansible_collections.aigateway.metering.tests.unit.objects import container, pod, prometheus, sidecar

MAIN = prometheus()
# As prometheus-operator names them: a StatefulSet for each shard, a pod for each replica.
SHARDED = ("prometheus-main-0", "prometheus-main-1", "prometheus-main-shard-1-0", "prometheus-main-shard-1-1")


class Pods:
    """A cluster of Prometheus pods; each gives the same answers, in which {pod} is its name."""

    def __init__(self, *names, answer=None, **options):
        web = container("prometheus", ports={"web": 9090})
        self.pods = [pod(name, "monitoring", containers=[web], **options) for name in names]
        self.answer = answer

    @staticmethod
    def hide(text):
        return text

    def list(self, *dummy, **options):
        del options
        return self.pods

    def proxied(self, dummy, pod, *rest):
        del rest
        return json.dumps(self.answer).replace("{pod}", pod) if isinstance(self.answer, dict) else self.answer


def replicas(*names, **options):
    cluster: Any = Pods(*names, **options)
    return backend.Backend(cluster, MAIN, {}).scraping()


def success(data):
    return {"status": "success", "data": data}


def test_pods_that_share_the_targets_are_one_replica():
    assert [replica.name for replica in replicas(*SHARDED)] == [
        "monitoring/prometheus-main-0+prometheus-main-shard-1-0",
        "monitoring/prometheus-main-1+prometheus-main-shard-1-1",
    ]


def sharded(*names):
    cluster: Any = Pods(*names)
    document = {**MAIN.document, "spec": {**MAIN.document["spec"], "shards": 2}}
    return backend.Backend(cluster, dataclasses.replace(MAIN, document=document), {}).scraping()


def test_a_replica_that_lacks_a_shard_is_not_asked():
    assert [replica.name for replica in sharded(*SHARDED[:3])] == [
        "monitoring/prometheus-main-0+prometheus-main-shard-1-0"
    ]


def test_where_every_replica_lacks_a_shard_nothing_can_be_said():
    with pytest.raises(MeteringError, match="has 2 shards, but no replica has all its shards running"):
        sharded(*SHARDED[:2])


def test_the_targets_of_all_shards_are_a_replicas_own():
    first, *dummy = replicas(*SHARDED, answer=success({"activeTargets": [{"scrapePool": "{pod}"}]}))
    pools = [target["scrapePool"] for target in first.active_targets()]
    assert pools == ["prometheus-main-0", "prometheus-main-shard-1-0"]


def test_a_number_is_summed_over_the_shards():
    first, *dummy = replicas(*SHARDED, answer=success({"result": [{"metric": {}, "value": [0, "2"]}]}))
    assert first.number("count(x)") == 4


def test_a_query_that_yields_nothing_is_the_number_0():
    (only,) = replicas("prometheus-main-0", answer=success({"result": []}))
    assert only.number("count(x)") == 0


def test_null_is_an_empty_list():
    (only,) = replicas("prometheus-main-0", answer=success({"result": None, "activeTargets": None}))
    assert (only.query("up"), only.active_targets()) == ([], [])


@pytest.mark.parametrize("gone", [{"phase": "Pending"}, {"deleting": True}], ids=["not running", "ending"])
def test_a_prometheus_without_a_running_pod_is_told(gone):
    with pytest.raises(MeteringError, match="Prometheus monitoring/main has no running pod"):
        replicas("prometheus-main-0", **gone)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param({"status": "error", "error": "too slow"}, "an error: too slow", id="an error of its own"),
        pytest.param("<html>login</html>", "no JSON of Prometheus's API: '<html>login", id="something else's page"),
        pytest.param(success(None), "no JSON of Prometheus's API", id="no data"),
        pytest.param(success({"resultType": "vector"}), "no JSON of Prometheus's API", id="data without a result"),
    ],
)
def test_an_answer_that_is_none_is_told(answer, said):
    (only,) = replicas("prometheus-main-0", answer=answer)
    with pytest.raises(MeteringError, match=said):
        only.query("up")


# --- repeated looks ---------------------------------------------------------------------------------------------------


class Replaying:
    """A replica that tells its pools, but at first no targets, and its configuration only if it has one."""

    name = "monitoring/main-0"

    def __init__(self, configuration: Any = None) -> None:
        self.looks: list[str] = []
        self.configuration = configuration

    def configurations(self):
        return [self.configuration]

    def pools(self):
        return {"a", "b"}

    def active_targets(self):
        self.looks.append("all")
        if len(self.looks) == 1:
            raise MeteringError("It replays.", "", "")
        return [{"scrapePool": "a", "port": 1}, {"scrapePool": "b", "port": 2}]

    def targets_in(self, pools):
        self.looks.append(",".join(sorted(pools)))
        return []


def watch() -> _replica.Watch:
    return _replica.Watch(lambda target: target["port"] == 1, lambda: {"gateways"})


def test_after_a_look_at_everything_only_pools_that_may_matter_are_looked_at():
    replica: Any = Replaying()
    own = watch()
    with pytest.raises(MeteringError):
        own.targets(replica)
    for dummy in range(3):
        own.targets(replica)
    assert replica.looks == ["all", "all", "a", "a"]


def job(name: str = "x", **own: Any) -> dict[str, Any]:
    return {"job_name": name, **own}


def discovery(*names: str, role: str = "pod", **own: Any) -> dict[str, Any]:
    return {"kubernetes_sd_configs": [{"role": role, "namespaces": {"names": list(names)}, **own}]}


def test_only_pools_that_may_reach_a_sidecar_are_looked_at_where_the_configuration_tells():
    replica: Any = Replaying({"scrape_configs": [job("a", **discovery("gateways")), job("c", **discovery("other"))]})
    own = watch()
    for dummy in range(3):
        own.targets(replica)
    assert replica.looks == ["a", "a,b", "a,b"]


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param({"scrape_configs": [job("c", **discovery("other"))]}, id="where none may, it is not believed"),
        pytest.param(
            {"scrape_configs": [job(f"j{number}", static_configs=[{}]) for number in range(21)]}, id="where many may"
        ),
        pytest.param({"scrape_configs": [], "scrape_config_files": ["x.yml"]}, id="where a part is not shown"),
    ],
)
def test_all_targets_are_looked_at(configuration):
    replica: Any = Replaying(configuration)
    with pytest.raises(MeteringError):
        watch().targets(replica)
    assert replica.looks == ["all"]


ADDRESS = {"target_label": "__address__"}


@pytest.mark.parametrize(
    ("own", "reaches"),
    [
        pytest.param(discovery("gateways", "b"), True, id="its namespace among others"),
        pytest.param(discovery("b"), False, id="another namespace"),
        pytest.param(discovery("b", role="endpoints"), False, id="services of another namespace"),
        pytest.param({"kubernetes_sd_configs": [{"role": "pod"}]}, True, id="every namespace"),
        pytest.param(discovery("b", role="node"), True, id="nodes"),
        pytest.param(
            {"kubernetes_sd_configs": [{"role": "pod", "namespaces": {"own_namespace": True, "names": ["b"]}}]},
            True,
            id="Prometheus's own namespace",
        ),
        pytest.param({"static_configs": [{"targets": ["a:1"]}]}, True, id="addresses"),
        pytest.param({**discovery("b"), "dns_sd_configs": [{"names": ["x"]}]}, True, id="another discovery beside"),
        pytest.param({"static_configs": [], **discovery("b")}, False, id="an empty discovery beside"),
        pytest.param(
            {**discovery("b"), "relabel_configs": [{**ADDRESS, "replacement": "10.0.0.1:1064"}]},
            True,
            id="a fixed address",
        ),
        pytest.param(
            {**discovery("b"), "relabel_configs": [{**ADDRESS, "source_labels": ["__meta_kubernetes_pod_label_x"]}]},
            True,
            id="an address out of a label",
        ),
        pytest.param(
            {
                **discovery("b"),
                "relabel_configs": [
                    {**ADDRESS, "source_labels": ["__address__", "__meta_kubernetes_pod_annotation_port"]},
                ],
            },
            False,
            id="the pod's address with a port",
        ),
    ],
)
def test_a_pool_reaches_a_namespace_unless_it_is_bound_to_others(own, reaches):
    expected: tuple[set[str], set[str]] = ({"x"}, set()) if reaches else (set(), {"x"})
    assert _replica.pools_reaching([{"scrape_configs": [job(**own)]}], ["gateways"]) == expected


@pytest.mark.parametrize("login", ["user:secret", "user:se/secret", "secret"])
def test_an_address_is_named_without_what_lets_in(login):
    assert "secret" not in api.Address(f"https://{login}@metrics:9090/prometheus/", {}).name


def test_a_query_about_sidecars_is_promql():
    sidecars = [sidecar("envoy-1.a"), sidecar("envoy-2")]
    promql_parser.parse(prom_scrape_check._count(sidecars, 'user_namespace!=""'))


class Asked:
    """A replica that knows nothing, and what it is asked."""

    def __init__(self) -> None:
        self.text = ""

    def query(self, promql):
        self.text = promql
        return []


def test_a_query_about_pods_is_promql():
    replica: Any = Asked()
    verify_token_usage.stored(replica, ["envoy-1.a", "envoy-2"])
    promql_parser.parse(replica.text)
