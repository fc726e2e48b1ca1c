# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller, its flag in every spelling, and its proxies' sidecars."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import controller as _controller
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import proxy as _proxy
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import sidecar as _sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import writer
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import objects, rollout_status
from ansible_collections.aigateway.metering.tests.unit.objects import (
    PROXY,
    container,
    controller,
    controller_deployment,
    deployment,
    extproc,
    pairs,
    pod,
    sidecar,
)

# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_has_its_namespace_before_it():
    assert objects.name_of(pod("p", "ns")) == "ns/p"


def test_the_name_of_what_has_no_namespace_stands_alone():
    assert objects.name_of({"metadata": {"name": "ns"}}) == "ns"


# --- the controller ---------------------------------------------------------------------------------------------------

PLAIN = deployment("other", containers=[container("app", args=["--port=80"])])


@pytest.mark.parametrize(
    "carrier",
    [
        pytest.param({"containers": [container("c", args=["--extProcImage=i"])]}, id="the flag of every generation"),
        pytest.param(
            {"containers": [container("c", args=["-metricsRequestHeaderAttributes", "x-a:a"])]}, id="the mapping's flag"
        ),
        pytest.param(
            {"containers": [container("x"), container("c", args=["--extProcImage=i"])]}, id="second container"
        ),
        pytest.param({"init": [container("c", args=["--extProcImage=i"])]}, id="init container"),
        pytest.param(
            {"containers": [container("c", command=["/controller"], args=["--extProcImage=i"])]}, id="command and args"
        ),
        pytest.param(
            {"containers": [container("c", command=["/controller", "--extProcImage=i"])]}, id="everything in command"
        ),
    ],
)
def test_the_controller_is_told_by_its_flags(carrier):
    found = _controller.find_controller([PLAIN, deployment("controller", "system", **carrier)])
    assert (found.name, found.container) == ("system/controller", "c")


FLAG = "-metricsRequestHeaderAttributes"


@pytest.mark.parametrize(
    ("command", "args", "changed"),
    [
        pytest.param(
            ["/c", "--extProcImage=i"],
            [f"-{FLAG}=x-a:a"],
            {"args": [f"-{FLAG}=x-b:b"]},
            id="in args, the others in command",
        ),
        pytest.param(
            ["/c", "--extProcImage=i", FLAG, "x-a:a"],
            ["--logLevel=info"],
            {"command": ["/c", "--extProcImage=i", FLAG, "x-b:b"]},
            id="in command, others in args",
        ),
        pytest.param(
            ["/c", f"{FLAG}=x-old:old"],
            ["--extProcImage=i", f"{FLAG}=x-a:a"],
            {"command": ["/c"], "args": ["--extProcImage=i", f"{FLAG}=x-b:b"]},
            id="in both: the last one counts",
        ),
        pytest.param(
            ["/c"],
            ["--extProcImage=i"],
            {"args": [f"-{FLAG}=x-b:b", "--extProcImage=i"]},
            id="in neither",
        ),
        pytest.param(
            ["/c", "--extProcImage"],
            ["i", "--logLevel=debug"],
            {"command": ["/c", f"-{FLAG}=x-b:b", "--extProcImage"]},
            id="in neither, and a flag's value is in the other list",
        ),
        pytest.param(
            ["/c", "--extProcImage=i", FLAG],
            ["x-a:a", "--logLevel=info"],
            {"args": ["x-b:b", "--logLevel=info"]},
            id="its own value is in the other list",
        ),
        pytest.param(
            ["/c", "--extProcImage=i", "serve"],
            ["--logLevel=info"],
            {"command": ["/c", f"-{FLAG}=x-b:b", "--extProcImage=i", "serve"]},
            id="in neither, and the flags end before the other list",
        ),
        pytest.param(
            ["/c", "--extProcImage=i", f"{FLAG}=x-q:q", "--"],
            [f"{FLAG}=x-a:a"],
            {"command": ["/c", "--extProcImage=i", f"{FLAG}=x-b:b", "--"]},
            id="in both, and the last one is no flag any more",
        ),
        pytest.param(
            ["/c", "--extProcImage=i"],
            [],
            {"command": ["/c", f"-{FLAG}=x-b:b", "--extProcImage=i"]},
            id="in neither, and no args",
        ),
    ],
)
def test_the_flag_is_set_where_it_stands_in_command_and_args(command, args, changed):
    document = deployment("controller", containers=[container("c", command=command, args=args)])
    before = _controller.find_controller([document])
    lists = before.lists_with(pairs("x-b:b"))
    after = _controller.find_controller(
        [deployment("controller", containers=[container("c", **{"command": command, "args": args} | lists)])]
    )
    assert (lists, list(after.pairs)) == (changed, pairs("x-b:b"))


def test_a_flag_in_both_lists_is_told_and_goes_from_both():
    document = deployment(
        "controller", containers=[container("c", command=["/c", f"{FLAG}=x-a:a"], args=[f"{FLAG}=x-b:b"])]
    )
    found = _controller.find_controller([document])
    assert (list(found.pairs), found.ignored) == (pairs("x-b:b"), [f"-{FLAG}=x-a:a"])
    assert found.lists_with([]) == {"command": ["/c"], "args": []}


def test_a_deployment_of_the_controllers_name_without_its_flags_is_none():
    with pytest.raises(MeteringError, match="No AI gateway controller was found"):
        _controller.find_controller([deployment("ai-gateway-controller", containers=[container("c", args=["--a=b"])])])


def test_the_controllers_mapping_is_read():
    assert list(controller("x-b:b,x-a:a").pairs) == pairs("x-b:b,x-a:a")


def test_the_controllers_base_mapping_is_read():
    assert list(controller(base="x-a:a").base) == pairs("x-a:a")


def test_a_controller_without_a_mapping_has_no_pairs():
    assert controller().pairs == ()


def test_several_controllers_are_listed():
    two = [controller_deployment(namespace="b"), controller_deployment(namespace="a")]
    with pytest.raises(MeteringError, match=r"a/ai-gateway-controller, b/ai-gateway-controller.*labels_controller"):
        _controller.find_controller(two)


def test_of_several_controllers_the_named_one_is_found():
    two = [controller_deployment(namespace="a"), controller_deployment(namespace="b")]
    assert _controller.find_controller(two, "b/ai-gateway-controller").namespace == "b"


def test_a_named_controller_that_is_not_there_is_said():
    with pytest.raises(MeteringError, match="found as ns/absent"):
        _controller.find_controller([controller_deployment()], "ns/absent")


def test_a_controller_with_a_broken_mapping_is_named():
    with pytest.raises(MeteringError, match="deployment envoy-ai-gateway-system/ai-gateway-controller has the element"):
        controller("oops")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("controller:v1.0.0", "v1.0.0"),
        ("images.example:5000/controller:v1.0.0", "v1.0.0"),
        ("controller:v1.0.0@sha256:0123", "v1.0.0"),
        ("images.example:5000/controller", ""),
        ("controller", ""),
    ],
)
def test_the_version_is_the_images_tag(image, version):
    assert _controller.find_controller([controller_deployment(image=image)]).version == version


def test_the_helm_release_is_told_from_its_annotation():
    annotated = controller_deployment(annotations={"meta.helm.sh/release-name": "aieg"})
    assert _controller.find_controller([annotated]).helm["release"] == "aieg"


def test_a_controller_without_helm_has_no_release():
    assert controller().helm == {}


# --- sidecars ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        pytest.param({"containers": [extproc("x-a:a")]}, id="containers"),
        pytest.param({"containers": [], "init": [extproc("x-a:a")]}, id="initContainers"),
    ],
)
def test_a_sidecar_is_found_in_either_list(where):
    assert list(sidecar(**where).metrics) == pairs("x-a:a")


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param({"containers": []}, id="a plain Envoy proxy"),
        pytest.param({"phase": "Pending"}, id="pending"),
        pytest.param({"phase": "Succeeded"}, id="succeeded"),
        pytest.param({"phase": "Failed"}, id="failed"),
        pytest.param({"deleting": True}, id="being deleted"),
    ],
)
def test_a_pod_that_does_not_run_or_has_none_has_no_sidecar(absent):
    assert _sidecar.sidecar_of(pod(**absent)) is None


@pytest.mark.parametrize(
    ("args", "port"),
    [
        pytest.param(["-adminPort", "1065"], 1065, id="adminPort"),
        pytest.param(["-metricsPort", "1066"], 1066, id="metricsPort"),
        pytest.param(["-adminPort=1067"], 1067, id="with ="),
        pytest.param([], 1064, id="neither"),
        pytest.param(["-adminPort", "unreadable"], 1064, id="no number"),
    ],
)
def test_the_sidecars_port_is_read_from_its_flags(args, port):
    assert sidecar(containers=[extproc(args=args)]).port == port


def test_flags_after_the_program_in_command_are_read():
    spelled = container("ai-gateway-extproc", command=["/extproc", "-metricsRequestHeaderAttributes", "x-a:a"])
    assert list(sidecar(containers=[spelled]).metrics) == pairs("x-a:a")


def test_an_explicitly_empty_mapping_is_empty():
    assert sidecar(containers=[extproc(args=["-metricsRequestHeaderAttributes", ""])]).metrics == ()


def test_a_sidecar_with_a_broken_mapping_is_named():
    with pytest.raises(MeteringError, match="sidecar of pod gateways/p has the element 'oops'"):
        sidecar("p", containers=[extproc("oops")])


def test_a_sidecar_knows_its_gateway():
    assert sidecar(gateway="team-b/chat").gateway == "team-b/chat"


def test_a_sidecar_without_the_gateways_labels_has_no_gateway():
    assert sidecar(gateway="").gateway == ""


def test_sidecars_are_sorted_by_name():
    found = _sidecar.sidecars_of([pod("b"), pod("plain", containers=[]), pod("a")])
    assert [item.name for item in found] == ["gateways/a", "gateways/b"]


def test_a_cluster_without_a_sidecar_is_refused():
    with pytest.raises(MeteringError, match="No running proxy pod has the container ai-gateway-extproc"):
        _sidecar.require_sidecars([])


def test_a_cluster_with_a_sidecar_is_not_refused():
    _sidecar.require_sidecars([sidecar()])


# --- staleness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_controller", "at_sidecar", "stale"),
    [
        pytest.param({"mapping": "x-a:a"}, {"mapping": "x-a:a"}, False, id="the same mapping"),
        pytest.param({"mapping": "x-a:a,x-b:b"}, {"mapping": "x-b:b,x-a:a"}, False, id="another order"),
        pytest.param({}, {}, False, id="nothing on either side"),
        pytest.param({"base": "x-a:a"}, {"mapping": "x-a:a"}, False, id="the same by the base flag"),
        pytest.param(
            {"mapping": "x-a:b", "base": "x-a:a"}, {"mapping": "x-a:b"}, False, id="the base flag overridden alike"
        ),
        pytest.param({"mapping": "x-a:a,x-b:b"}, {"mapping": "x-a:a"}, True, id="a pair too few"),
        pytest.param({"mapping": "x-a:a"}, {"mapping": "x-a:a,x-b:b"}, True, id="a pair too many"),
        pytest.param({"mapping": "x-a:a"}, {"mapping": "x-a:b"}, True, id="another label"),
        pytest.param({"base": "x-a:a"}, {}, True, id="the base flag missing"),
    ],
)
def test_a_sidecar_is_stale_when_its_effective_mapping_is_another(at_controller, at_sidecar, stale):
    present = controller(at_controller.get("mapping", ""), base=at_controller.get("base", ""))
    found = sidecar(containers=[extproc(at_sidecar.get("mapping", ""), base=at_sidecar.get("base", ""))])
    assert found.is_stale(present) is stale


def test_a_proxy_lists_only_its_stale_sidecars():
    fresh, old = sidecar("fresh", containers=[extproc("x-a:a")]), sidecar("old")
    proxy = _proxy.Proxy("Deployment", deployment(), (fresh, old))
    assert [item.name for item in proxy.stale(controller("x-a:a"))] == ["gateways/old"]


# --- proxies ----------------------------------------------------------------------------------------------------------

A, B = {**PROXY, "app": "a"}, {**PROXY, "app": "b"}


def owned(workload, *pods, kind="Deployment"):
    return [
        (proxy.name, [item.name for item in proxy.sidecars]) for proxy in _proxy.proxies_of([(kind, workload)], pods)
    ]


def test_a_proxy_owns_the_pods_that_its_selector_selects():
    found = owned(deployment("proxy-a", selector=A), pod("a1", labels=A), pod("b1", labels=B))
    assert found == [("gateways/proxy-a", ["gateways/a1"])]


def test_a_proxy_owns_no_pod_of_another_namespace():
    assert owned(deployment("proxy-a", "here", selector=A), pod("a1", "there", labels=A)) == []


def test_a_workload_with_an_empty_selector_owns_nothing():
    assert owned(deployment(selector={}), pod()) == []


def test_a_plain_envoy_is_no_proxy_of_the_ai_gateway():
    assert owned(deployment(), pod(containers=[])) == []


def test_a_proxy_whose_pods_do_not_run_yet_is_still_a_proxy():
    assert owned(deployment("proxy"), pod(phase="Pending")) == [("gateways/proxy", [])]


def test_a_daemon_set_is_a_proxy_as_well():
    assert owned(deployment("proxy", replicas=None), pod("p"), kind="DaemonSet") == [("gateways/proxy", ["gateways/p"])]


def test_proxies_are_sorted_by_name():
    workloads = [
        ("Deployment", deployment("b", selector=B)),
        ("DaemonSet", deployment("a", selector=A, replicas=None)),
    ]
    found = _proxy.proxies_of(workloads, [pod("a1", labels=A), pod("b1", labels=B)])
    assert [proxy.name for proxy in found] == ["gateways/a", "gateways/b"]


def test_a_proxy_knows_its_gateway():
    assert _proxy.Proxy("Deployment", deployment()).gateway == "team-a/chat"


def test_a_proxy_without_the_gateways_labels_has_no_gateway():
    assert _proxy.Proxy("Deployment", deployment(labels=PROXY)).gateway == ""


# --- rollouts ---------------------------------------------------------------------------------------------------------


def test_a_proxy_with_the_gateways_hash_rolls_itself():
    hashed = deployment(template_annotations={"aigateway.envoyproxy.io/extproc-config-hash": "0123"})
    assert _proxy.Proxy("Deployment", hashed).rolls_itself


def test_a_proxy_without_the_gateways_hash_does_not_roll_itself():
    assert not _proxy.Proxy("Deployment", deployment(template_annotations={"a": "b"})).rolls_itself


DONE = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        pytest.param({}, True, id="every replica updated and available"),
        pytest.param({"observedGeneration": 1}, False, id="the newest template not seen yet"),
        pytest.param({"updatedReplicas": 2}, False, id="a replica not updated"),
        pytest.param({"replicas": 4}, False, id="an old replica left"),
        pytest.param({"availableReplicas": 2}, False, id="a replica not available"),
    ],
)
def test_a_deployment_is_settled_when_every_replica_is_new_and_available(status, settled):
    workload = deployment(replicas=3, generation=2, status=DONE | status)
    assert (_proxy.Proxy("Deployment", workload).unsettled() == "") is settled


def test_a_deployment_without_a_replica_count_has_one():
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    assert not rollout_status.is_rolled_out("Deployment", deployment(replicas=None, status=status))


def test_a_deployment_without_a_status_is_not_settled():
    assert not rollout_status.is_rolled_out("Deployment", deployment())


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        pytest.param({}, True, id="every pod updated and available"),
        pytest.param({"observedGeneration": 1}, False, id="the newest template not seen yet"),
        pytest.param({"updatedNumberScheduled": 2}, False, id="a pod not updated"),
        pytest.param({"numberAvailable": 2}, False, id="a pod not available"),
    ],
)
def test_a_daemon_set_is_settled_when_every_pod_is_new_and_available(status, settled):
    done = {
        "observedGeneration": 2,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    workload = deployment(replicas=None, generation=2, status=done | status)
    assert rollout_status.is_rolled_out("DaemonSet", workload) is settled


# --- how far a rollout is ---------------------------------------------------------------------------------------------

ROLLING = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}


def missing(*pods, kind="Deployment", **status):
    workload = deployment(replicas=2 if kind == "Deployment" else None, status=ROLLING | status)
    return rollout_status.missing_in_rollout(kind, workload, pods)


def test_how_far_a_rollout_is_is_told():
    assert missing() == "1 of 2 pods to be new, 2 of 2 available, 2 old to end"


def test_how_far_a_daemon_sets_rollout_is_is_told():
    status = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1, "numberAvailable": 2}
    assert missing(kind="DaemonSet", **status) == "1 of 3 pods to be new, 2 of 3 available"


def test_a_change_that_is_not_seen_yet_is_told():
    assert missing(observedGeneration=0) == "the change to be seen"


def test_what_keeps_pods_from_being_made_is_told():
    quota = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: few"}
    assert "(exceeded quota: few)" in missing(conditions=[quota])


def test_what_keeps_a_container_from_starting_is_told():
    stuck = pod("new")
    stuck["status"]["containerStatuses"] = [{"name": "envoy", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    assert "(gateways/new: ImagePullBackOff)" in missing(stuck)


def test_a_container_that_is_only_being_created_is_no_trouble():
    young = pod("new")
    young["status"]["containerStatuses"] = [{"name": "envoy", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    assert "ContainerCreating" not in missing(young)


def test_a_pod_that_finds_no_node_is_told():
    homeless = pod("new")
    homeless["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]
    assert "(gateways/new: 0/1 nodes)" in missing(homeless)


# --- scope ------------------------------------------------------------------------------------------------------------

OURS, THEIRS = sidecar("p", gateway="team-a/chat"), sidecar("q", gateway="team-b/chat")


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        pytest.param([], [OURS, THEIRS], id="all"),
        pytest.param(["team-b/chat"], [THEIRS], id="one"),
        pytest.param(["team-c/chat"], [], id="one that is not there"),
    ],
)
def test_a_scope_takes_what_belongs_to_its_gateways(scope, found):
    assert _sidecar.in_scope([OURS, THEIRS], scope) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(["a/b", " c/d"], ["a/b", "c/d"], id="a list"),
        pytest.param(["a/b\nc/d\n"], ["a/b", "c/d"], id="lines"),
        pytest.param(['["a/b"', '"c/d"]'], ["a/b", "c/d"], id="JSON, as Ansible splits it"),
        pytest.param(["[]"], [], id="an empty list as a text"),
        pytest.param(["a/b c/d"], ["a/b", "c/d"], id="blanks"),
        pytest.param([""], [], id="an empty answer"),
        pytest.param(["a/b", "a/b"], ["a/b"], id="one twice"),
    ],
)
def test_gateways_are_named_in_any_form_of_a_list(given, found):
    assert _sidecar.scope_of(given) == found


@pytest.mark.parametrize("name", ["chat", "a/b/c", "A/b", "a/*"])
def test_what_names_no_gateway_is_refused(name):
    with pytest.raises(MeteringError, match="is not written as NAMESPACE/NAME"):
        _sidecar.scope_of([name])


def test_a_gateway_in_scope_without_a_sidecar_is_refused_by_name():
    with pytest.raises(MeteringError, match="belongs to the Gateway team-c/chat"):
        _sidecar.require_sidecars([OURS], ["team-a/chat", "team-c/chat"])


# --- who wrote the flag -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("managers", "last"), [(["helm", "kubectl-patch"], "kubectl-patch"), (["helm"], "helm"), ([], "")]
)
def test_who_wrote_the_flag_last_is_told(managers, last):
    written = _controller.find_controller([controller_deployment("x-a:a", writers=managers)])
    assert written.flag_writer == last


# --- a controller without a mapping -----------------------------------------------------------------------------------


def of_port_flag(flag):
    return sidecar(containers=[extproc(args=[f"-{flag}", "1064"])])


@pytest.mark.parametrize(
    ("tag", "flags", "expected"),
    [
        pytest.param("v1.0.0", ["metricsPort"], "metricsRequestHeaderAttributes", id="upgraded, old sidecars go on"),
        pytest.param("v0.3.0", [], "metricsRequestHeaderLabels", id="old, no sidecar yet"),
        pytest.param("latest", ["metricsPort"], "metricsRequestHeaderLabels", id="told by its sidecars"),
        pytest.param("latest", ["metricsPort", "adminPort"], "metricsRequestHeaderAttributes", id="the newest tells"),
        pytest.param("latest", [], "metricsRequestHeaderAttributes", id="nothing tells"),
    ],
)
def test_the_flag_is_that_of_the_controllers_generation(tag, flags, expected):
    bare = _controller.find_controller([controller_deployment(image=f"controller:{tag}")])
    assert _controller.with_flag_of_its_generation(bare, map(of_port_flag, flags)).flag == expected


# --- what does not count, and what never rolls ------------------------------------------------------------------------

HEADERS = "--metricsRequestHeaderAttributes"


@pytest.mark.parametrize(
    ("flags", "ignored"),
    [
        pytest.param([f"{HEADERS}=x-a:a"], [], id="once"),
        pytest.param([f"{HEADERS}=x-a:a", f"{HEADERS}=x-a:a"], [], id="twice the same"),
        pytest.param([f"{HEADERS}=x-a:a", f"{HEADERS}=x-b:b"], [f"{HEADERS}=x-a:a"], id="twice"),
        pytest.param([HEADERS, "x-a:a", f"-{HEADERS[2:]}=x-b:b"], [f"{HEADERS}=x-a:a"], id="twice, in two spellings"),
        pytest.param([f"{HEADERS}=", f"{HEADERS}=x-b:b"], [], id="an empty one before it"),
        pytest.param(
            [f"{HEADERS}=x-a:a", "--metricsRequestHeaderLabels=x-b:b"],
            ["--metricsRequestHeaderLabels=x-b:b"],
            id="the older name beside the newer",
        ),
        pytest.param([f"{HEADERS}=", "--metricsRequestHeaderLabels=x-b:b"], [], id="the older name alone counts"),
    ],
)
def test_a_value_that_does_not_count_is_told(flags, ignored):
    args = ["--extProcImage=x:v1.0.0", *flags]
    found = _controller.find_controller([deployment(containers=[container("c", args=args)])])
    assert found.ignored == ignored


PAUSED, ON_DELETE = {"paused": True}, {"updateStrategy": {"type": "OnDelete"}}


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("Deployment", {}, ""),
        ("Deployment", {"paused": False}, ""),
        ("Deployment", PAUSED, "is paused (spec.paused)"),
        ("DaemonSet", {}, ""),
        ("DaemonSet", {"updateStrategy": {"type": "RollingUpdate"}}, ""),
        ("DaemonSet", ON_DELETE, "replaces its pods only when they are deleted (spec.updateStrategy: OnDelete)"),
    ],
)
def test_what_never_rolls_is_told(kind, spec, why):
    workload = deployment()
    workload["spec"] |= spec
    assert rollout_status.never_rolls(kind, workload) == why


def test_all_that_never_roll_are_refused_at_once_with_what_to_do():
    held = [deployment("a"), deployment("b", replicas=None), deployment("c")]
    held[0]["spec"] |= PAUSED
    held[1]["spec"] |= ON_DELETE
    with pytest.raises(
        MeteringError, match=r"Deployment gateways/a is paused.*DaemonSet gateways/b replaces"
    ) as refused:
        rollout_status.refuse_what_never_rolls(zip(["Deployment", "DaemonSet", "Deployment"], held, strict=True))
    assert "rollout resume deployment/a" in refused.value.command
    assert "gateways/c" not in str(refused.value)


@pytest.mark.parametrize(
    ("pairs_wanted", "restart", "refused"),
    [
        pytest.param("x-a:a", True, False, id="nothing has to roll"),
        pytest.param("x-a:a,x-b:b", True, True, id="the flag changes"),
        pytest.param("x-a:a,x-b:b", False, False, id="nothing may restart"),
    ],
)
def test_the_flag_is_not_changed_for_proxies_that_never_roll(pairs_wanted, restart, refused):
    workload = deployment()
    workload["spec"] |= PAUSED
    proxy = _proxy.Proxy("Deployment", workload, (sidecar(containers=[extproc("x-a:a")]),))
    with pytest.raises(MeteringError) if refused else contextlib.nullcontext():
        writer.refuse_what_would_wait_in_vain(controller("x-a:a"), [proxy], tuple(pairs(pairs_wanted)), restart=restart)


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [pytest.param("x-b:b", True, id="a new mapping"), pytest.param("x-a:a", False, id="nothing to do")],
)
def test_nothing_is_changed_while_no_controller_runs(wanted, refused):
    held = controller_deployment("x-a:a")
    held["spec"]["replicas"] = 0
    found = _controller.find_controller([held])
    with pytest.raises(MeteringError, match="scaled to 0") if refused else contextlib.nullcontext():
        writer.refuse_what_would_wait_in_vain(found, [], tuple(pairs(wanted)), restart=True)


def test_the_flag_is_not_changed_for_a_controller_that_never_rolls():
    held = controller_deployment("x-a:a")
    held["spec"] |= PAUSED
    found = _controller.find_controller([held])
    with pytest.raises(MeteringError, match="Deployment envoy-ai-gateway-system/ai-gateway-controller is paused"):
        writer.refuse_what_would_wait_in_vain(found, [], tuple(pairs("x-b:b")), restart=False)
