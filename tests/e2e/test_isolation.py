# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entrance for the teams: with a team's own token nothing of another team is to be had, whatever is asked how."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import yaml
from harness.inside import Answer, Question, ask_from_inside
from harness.runs import ROOT
from harness.stand import Stand
from standlib import images, platform, tenants, usage
from standlib.kube import decoded
from standlib.progress import wait_until

NAME, NAMESPACE = "token-usage-entrance", platform.MONITORING_NAMESPACE
HOST = f"{NAME}.{NAMESPACE}.svc"
OURS = "app.kubernetes.io/managed-by=aigateway.metering,app.kubernetes.io/component=query-entrance"
ISOLATED = {"dashboard_isolation": "rbac"}
# What stands in answers about team-b and in none about team-a.
OF_TEAM_B = ("team-b", "gateway-b", '"bob"')
EVERYTHING = '{__name__=~".+"}'
RBAC = (
    list(yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())),
    yaml.safe_load((ROOT / "docs" / "rbac-isolation.yml").read_text())["items"],
)
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Entrance:
    """The entrance on a stand, with tokens of two teams."""

    stand: Stand
    authority: str
    tokens: dict[str, str]

    def question(
        self, path: str, *headers: tuple[str, str], method: str = "GET", token: str = "team-a", body: str = ""
    ) -> Question:
        """A request with a team's token, which names the namespace team-a unless it names others."""
        given = (
            [*headers]
            if any(name.lower() == "x-namespace" for name, dummy in headers)
            else [("X-Namespace", "team-a"), *headers]
        )
        known = [("Authorization", f"Bearer {self.tokens[token]}")] if token else []
        return Question(HOST, path, method, [*known, *given], body, authority=self.authority)

    def ask(self, *questions: Question) -> list[Answer]:
        return ask_from_inside(self.stand, list(questions))

    def query(self, promql: str, **options: Any) -> Answer:
        (answer,) = self.ask(self.question(f"/api/v1/query?{urlencode({'query': promql})}", **options))
        return answer


def token_of(stand: Stand, namespace: str, account: str) -> str:
    """A token of a ServiceAccount, as a team would make one for its data source."""
    words = ("create", "token", account, "-n", namespace, "--duration", "1h")
    return stand.kubectl.run(stand.step, *words).strip()


def make_reader(stand: Stand, namespace: str, account: str = "reader") -> str:
    """A ServiceAccount that may view its namespace, and its token."""
    metadata = {"name": account, "namespace": namespace}
    stand.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    stand.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )
    return token_of(stand, namespace, account)


@pytest.fixture(autouse=True, scope="module")
def _left_as_found(stand: Stand) -> Iterator[None]:
    """Whatever comes after these tests begins without an entrance."""
    yield
    stand.leave_no_entrance()


@pytest.fixture
def isolated(stand: Stand) -> Stand:
    """A metered stand with the entrance as `site.yml` leaves it; what is still so is not put in place again."""
    if not ours(stand) or versions(stand) != stand.isolated_versions:
        if not stand.is_metered():
            stand.reset()
        stand.have_images(*images.ISOLATION)
        run = stand.site(**ISOLATED)
        assert run.code == 0, run.output
        stand.metered_state, stand.isolated_versions = stand.lasting_state(), versions(stand)
    return stand


@pytest.fixture
def entrance(isolated: Stand) -> Entrance:
    """The entrance with usage of both teams behind it."""
    (secret,) = isolated.get("secrets", NAMESPACE, name=f"{NAME}-tls")
    tokens = {team.namespace: make_reader(isolated, team.namespace) for team in tenants.TEAMS}
    isolated.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "team-a"}}
    )
    tokens["nobody"] = token_of(isolated, "team-a", "nobody")
    found = Entrance(isolated, decoded(secret["data"]["ca.crt"]), tokens)
    if not {"team-a", "team-b"} <= billed(isolated):
        isolated.send()
        wait_until("usage of both teams", lambda: {"team-a", "team-b"} <= billed(isolated), 90, 2)
    return found


def billed(stand: Stand) -> set[str]:
    found = usage.query(stand.kubectl, "group by (user_namespace) (gen_ai_client_token_usage_sum)")
    return {item["metric"].get("user_namespace", "") for item in found}


def namespaces(answer: Answer) -> set[str]:
    """The namespaces of an answer's series."""
    assert answer.status == 200, answer.text
    return {item["metric"].get("user_namespace", "") for item in answer.json()["data"]["result"]}


# --- what is there ----------------------------------------------------------------------------------------------------


def test_each_team_sees_its_own_tokens_all_of_them_and_nothing_else(entrance: Entrance) -> None:
    everything = "sum by (user_namespace) (gen_ai_client_token_usage_sum)"
    for team in ("team-a", "team-b"):
        direct = usage.query(entrance.stand.kubectl, f'sum(gen_ai_client_token_usage_sum{{user_namespace="{team}"}})')
        (answer,) = entrance.ask(
            entrance.question(f"/api/v1/query?{urlencode({'query': everything})}", ("X-Namespace", team), token=team)
        )
        (shown,) = answer.json()["data"]["result"]
        assert shown["metric"] == {"user_namespace": team}
        assert shown["value"][1] == direct[0]["value"][1]


def test_every_query_of_the_teams_dashboard_is_answered_as_by_prometheus(entrance: Entrance) -> None:
    (board,) = entrance.stand.get("monitordashboards", NAMESPACE, name="ai-gateway-token-usage-team")
    expressions = [
        target["expr"].replace("$namespace", "team-a").replace("$model", ".*")
        for panel in board["spec"]["body"]["panels"]
        for target in panel.get("targets", ())
    ]
    now = str(int(time.time()) - 20)
    gets = [entrance.question(f"/api/v1/query?{urlencode({'query': item, 'time': now})}") for item in expressions]
    posts = [
        entrance.question("/api/v1/query", FORM, method="POST", body=urlencode({"query": item, "time": now}))
        for item in expressions
    ]
    direct = [usage.query(entrance.stand.kubectl, item, at=float(now)) for item in expressions]
    assert len(direct) > 5
    for answers in (entrance.ask(*gets), entrance.ask(*posts)):
        assert [answer.json()["data"]["result"] for answer in answers] == direct


def test_a_second_run_changes_nothing_and_the_summary_says_how_the_teams_are_isolated(isolated: Stand) -> None:
    before = versions(isolated)
    run = isolated.site(**ISOLATED)
    assert (run.code, run.changed) == (0, 0), run.output
    assert versions(isolated) == before
    assert f"isolation: {NAMESPACE}/{NAME} shows each caller its own namespaces at https://{HOST}" in run.text
    assert "it refuses who has no credentials" in run.text


def test_no_key_is_shown_by_a_run_however_loud(metered: Stand) -> None:
    metered.have_images(*images.ISOLATION)
    metered.delete("secret", NAMESPACE, f"{NAME}-tls")
    run = metered.site("--diff", "-vvv", **ISOLATED)
    assert run.code == 0, run.output
    (secret,) = metered.get("secrets", NAMESPACE, name=f"{NAME}-tls")
    key = decoded(secret["data"]["tls.key"]).splitlines()[1]
    assert secret["data"]["tls.key"][60:120] not in run.output
    assert key not in run.output
    assert "BEGIN PRIVATE" not in run.output


# --- who is let in ----------------------------------------------------------------------------------------------------


def test_without_credentials_that_the_api_server_knows_nothing_is_answered(entrance: Entrance) -> None:
    gone = make_reader(entrance.stand, "team-a", "gone")
    entrance.stand.delete("serviceaccount", "team-a", "gone")
    alice = next(item for item in tenants.CALLERS if item.name == "alice")
    foreign = tenants.signing_key(entrance.stand.kubectl).token(alice.claims)
    others = {"gone": gone, "foreign": foreign, "cut": entrance.tokens["team-a"][:-4], "word": "a-word"}
    known = Entrance(entrance.stand, entrance.authority, entrance.tokens | others)
    path = f"/api/v1/query?{urlencode({'query': EVERYTHING})}"
    answers = known.ask(*(known.question(path, token=name) for name in ("", *others)))
    assert [answer.status for answer in answers] == [401] * 5
    basic = known.question(path, ("Authorization", "Basic dGVhbS1hOnRlYW0tYQ=="), token="")
    assert known.ask(basic)[0].status == 401


def test_who_may_not_view_the_namespace_may_not_read_its_usage(entrance: Entrance) -> None:
    path = f"/api/v1/query?{urlencode({'query': EVERYTHING})}"
    answers = entrance.ask(
        entrance.question(path, token="nobody"),
        entrance.question(path, token="team-b"),
        entrance.question(path, ("X-Namespace", "team-b")),
        entrance.question(path, method="POST", token="team-b", body="query=up"),
    )
    assert [answer.status for answer in answers] == [403] * 4


# --- what is asked how ------------------------------------------------------------------------------------------------

HEADERS: dict[str, list[tuple[str, str]]] = {
    "two": [("X-Namespace", "team-a"), ("X-Namespace", "team-b")],
    "two, the other first": [("X-Namespace", "team-b"), ("X-Namespace", "team-a")],
    "in lower case": [("X-Namespace", "team-a"), ("x-namespace", "team-b")],
    "a list": [("X-Namespace", "team-a,team-b")],
    "a pattern": [("X-Namespace", "team-a|team-b")],
    "any": [("X-Namespace", ".*")],
    "empty": [("X-Namespace", "")],
    "empty and one": [("X-Namespace", ""), ("X-Namespace", "team-a")],
    "a star": [("X-Namespace", "*")],
    "a quote": [("X-Namespace", 'team-a",user_namespace=~".*')],
    "taken away on the way": [("X-Namespace", "team-a"), ("Connection", "X-Namespace")],
    "another spelling": [("X-Namespace", "team-a"), ("X_Namespace", "team-b")],
    "behind a proxy": [("X-Namespace", "team-a"), ("X-Original-URL", "/api/v1/labels"), ("X-Scope-OrgID", "team-b")],
    "another method": [("X-Namespace", "team-a"), ("X-HTTP-Method-Override", "POST")],
    "another identity": [("X-Namespace", "team-a"), ("Impersonate-User", "system:admin"), ("X-Remote-User", "admin")],
}


@pytest.mark.parametrize("form", HEADERS)
def test_the_header_names_one_namespace_that_the_caller_may_read(entrance: Entrance, form: str) -> None:
    path = f"/api/v1/query?{urlencode({'query': EVERYTHING})}"
    (answer,) = entrance.ask(entrance.question(path, *HEADERS[form]))
    assert not any(word in answer.text for word in OF_TEAM_B), answer.text[:500]
    if answer.status == 200:
        assert namespaces(answer) == {"team-a"}
    else:
        assert answer.status in (400, 403)


OTHERS = "sum(gen_ai_client_token_usage_sum{user_namespace='team-b'})"
QUERIES = [
    EVERYTHING,
    '{user_namespace=~".+"}',
    '{user_namespace=~"team-b|team-a"}',
    '{user_namespace!="team-a"}',
    '{user_namespace=""}',
    '{user_namespace="team-b"}',
    'gen_ai_client_token_usage_sum{user_namespace="team-b"} or gen_ai_client_token_usage_sum',
    'sum by (user_namespace) ({__name__="gen_ai_client_token_usage_sum"})',
    'sum(gen_ai_client_token_usage_sum) by (user_namespace, "gen_ai.request.model")',
    '{"gen_ai_client_token_usage_sum", "user_namespace"="team-b"}',
    'max_over_time(gen_ai_client_token_usage_sum{user_namespace="team-b"}[1h:1m])',
    "sum by (user_namespace) (increase(gen_ai_client_token_usage_sum[1h] @ end()))",
    "gen_ai_client_token_usage_sum offset -1m",
    'label_replace(gen_ai_client_token_usage_sum, "user_namespace", "$1", "other", "(.*)")',
    "count_values('n', gen_ai_client_token_usage_sum)",
    "topk(100, {job=~'.+'})",
    "up",
    "info(gen_ai_client_token_usage_sum)",
    "absent(gen_ai_client_token_usage_sum{user_namespace='team-b'})",
    "gen_ai_client_token_usage_sum unless on() gen_ai_client_token_usage_sum{user_namespace='team-b'}",
    f"quantile(scalar({OTHERS}) / 1e15, vector(1))",
    f"topk(scalar({OTHERS}), gen_ai_client_token_usage_sum)",
    f"bottomk(-scalar({OTHERS}) + 1e15, gen_ai_client_token_usage_sum)",
    f"count_values('n', vector(scalar({OTHERS})))",
    f"vector(1) * scalar({OTHERS})",
    'gen_ai_client_token_usage_sum or ignoring ("x) gen_ai_client_token_usage_sum or ignoring (y") up',
    """up or ON (job, `x) gen_ai_client_token_usage_sum{user_namespace="team-b"} #`) gen_ai_client_token_usage_sum""",
    "gen_ai_client_token_usage_sum + on (job) group_left ('x) gen_ai_client_token_usage_sum #') up",
    "up or ignoring # (\n ('x) gen_ai_client_token_usage_sum #') up",
    "up or on(on('x) gen_ai_client_token_usage_sum #')) up",
    "# a comment\n{__name__=~'.+'}",
    "{__name__=~'.+'} # {user_namespace='team-a'}",
]


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_leads_to_another_team(entrance: Entrance, query: str) -> None:
    ranged = {"query": query, "start": "0", "end": "0", "step": "60"}
    now = int(time.time())
    ranged |= {"start": str(now - 600), "end": str(now)}
    form = urlencode({"query": query})
    answers = entrance.ask(
        entrance.question(f"/api/v1/query?{form}"),
        entrance.question("/api/v1/query", FORM, method="POST", body=form),
        entrance.question(f"/api/v1/query?{form}", FORM, method="POST", body=form),
        entrance.question(f"/api/v1/query_range?{urlencode(ranged)}"),
        entrance.question("/api/v1/query_range", FORM, method="POST", body=urlencode(ranged)),
    )
    for answer in answers:
        assert not any(word in query for word in ("scalar", "x)")) or answer.status == 400, answer
        # What was asked may be repeated in an error.
        text = answer.text if answer.status == 200 else ""
        assert not any(word in text for word in OF_TEAM_B), text[:500]
        assert answer.status in (200, 400, 422), answer


MULTIPART = ("Content-Type", "multipart/form-data; boundary=edge")


def multipart(**fields: str) -> str:
    parts = (
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    )
    return "".join(parts) + "--edge--\r\n"


# What comes out is below 1: the tokens of the other team as a share.
LOW, HIGH = (f"label_replace(vector({number}), 'a', '{number}', '', '')" for number in (0, 1))
NUMBER = f"quantile(scalar({OTHERS}) / 1e15, {LOW} or {HIGH})"


def spellings(theirs: str) -> dict[str, tuple[str, str, tuple[tuple[str, str], ...], str]]:
    """Method, path, headers and body of requests that ask for somebody else's series by the side."""
    own, other, number = quote("gen_ai_client_token_usage_sum"), quote(theirs), quote(NUMBER)
    return {
        "twice in the address": ("GET", f"/api/v1/query?query={own}&query={other}", (), ""),
        "twice, the other first": ("GET", f"/api/v1/query?query={other}&query={own}", (), ""),
        "in the body of a GET": ("GET", f"/api/v1/query?query={own}", (FORM,), f"query={other}"),
        "only in the body of a GET": ("GET", "/api/v1/query", (FORM,), f"query={other}"),
        "in parts": ("GET", f"/api/v1/query?query={own}", (MULTIPART,), multipart(query=theirs)),
        "only in parts": ("GET", "/api/v1/query", (MULTIPART,), multipart(query=theirs)),
        "in parts of a POST": ("POST", f"/api/v1/query?query={own}", (MULTIPART,), multipart(query=theirs)),
        "only in parts of a POST": ("POST", "/api/v1/query", (MULTIPART,), multipart(query=theirs)),
        "with a namespace in the address": ("GET", f"/api/v1/query?query={own}&namespace=team-b", (), ""),
        "with a namespace in the body": (
            "POST",
            "/api/v1/query",
            (FORM,),
            f"query={own}&namespace=team-b&user_namespace=team-b&X-Namespace=team-b",
        ),
        "as JSON": ("POST", "/api/v1/query", (("Content-Type", "application/json"),), json.dumps({"query": theirs})),
        "with a semicolon": ("GET", f"/api/v1/query?query={own};query={other}", (), ""),
        "written otherwise": ("GET", f"/api/v1/query?%71uery={other}", (), ""),
        "as a number": ("GET", f"/api/v1/query?query={number}", (), ""),
        "as a number, in other letters": (
            "GET",
            f"/api/v1/query?query={number.replace('scalar', '%73cal%61r')}",
            (),
            "",
        ),
        "as a number, in the body": ("POST", "/api/v1/query", (FORM,), f"query={number.replace('sc', '%73%63')}"),
        "as a number, in a long body": ("POST", "/api/v1/query", (FORM,), f"x={'y' * 900_000}&query={number}"),
        "as a number, in a longer body": ("POST", "/api/v1/query", (FORM,), f"x={'y' * 3_000_000}&query={number}"),
        "an empty one first": ("GET", f"/api/v1/query?query=&query={other}", (), ""),
    }


@pytest.mark.parametrize("way", spellings(""))
def test_no_way_of_asking_leads_to_another_team(entrance: Entrance, way: str) -> None:
    method, path, headers, body = spellings('gen_ai_client_token_usage_sum{user_namespace="team-b"}')[way]
    (answer,) = entrance.ask(entrance.question(path, *headers, method=method, body=body))
    text = answer.text if answer.status == 200 else ""
    assert not any(word in text for word in OF_TEAM_B), text[:500]
    assert answer.status in (200, 400, 413, 422), answer
    assert "scalar" not in body + path or answer.status != 200, answer
    assert "number" not in way or answer.status in (400, 413), answer


MATCH = urlencode({"match[]": EVERYTHING})
PATHS = [
    "/", "/graph", "/metrics", "/healthz", "/federate?" + MATCH, "/api/v1/series?" + MATCH,
    "/api/v1/labels", "/api/v1/label/user_namespace/values", "/api/v1/label/gen_ai_request_model/values",
    "/api/v1/metadata", "/api/v1/query_exemplars?query=up", "/api/v1/targets", "/api/v1/targets/metadata",
    "/api/v1/scrape_pools", "/api/v1/rules", "/api/v1/rules/", "/api/v1/alerts", "/api/v1/alertmanagers",
    "/api/v1/status/config", "/api/v1/status/flags", "/api/v1/status/tsdb", "/api/v1/status/runtimeinfo",
    "/api/v1/read", "/api/v1/write", "/api/v1/admin/tsdb/snapshot", "/api/v1/notifications",
    "/api/v1/format_query?query=up",
    "/api/v1/parse_query?query=up", "/api/v2/alerts", "/api/v2/silences",
    "//api/v1/query?query=up", "/api/v1/query/?query=up", "/api/v1/query/../labels", "/api/v1/query/%2e%2e/labels",
    "/api/v1/query%2f..%2flabels", "/api/v1/query?query=up/../../labels", "/api/v1/./labels", "/API/V1/labels",
    "/api/v1/label/..%2flabels/values", "/-/healthy", "/-/reload", "/debug/pprof/heap", "/consoles/", "/userinfo",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_queries_are_let_through(entrance: Entrance, method: str) -> None:
    parts = (MULTIPART, multipart(**{"match[]": '{user_namespace="team-b"}'}))
    questions = [entrance.question(path, method=method) for path in PATHS]
    questions += [entrance.question(path, parts[0], method=method, body=parts[1]) for path in PATHS]
    for question, answer in zip(questions, entrance.ask(*questions), strict=True):
        assert not any(word in answer.text for word in OF_TEAM_B), (question.path, answer.text[:300])
        if "/query?" not in question.path or question.path.startswith("//"):
            assert answer.status in (301, 307, 308, 400, 403, 404, 405), (question.path, answer)


def test_the_label_proxy_is_reached_from_no_other_pod(entrance: Entrance) -> None:
    (pod,) = entrance.stand.get("pods", NAMESPACE, labels=OURS.partition(",")[2])
    address = pod["status"]["podIP"]
    for port in (8080, 8081, 8443, 9090):
        (answer,) = entrance.ask(
            Question(address, "/api/v1/query?query=up", headers=[("X-Namespace", "team-b")], port=port)
        )
        # The port of TLS answers plain HTTP with a sentence.
        assert answer.status == (400 if port == 8443 else 0), answer


# --- what drifts ------------------------------------------------------------------------------------------------------


def ours(stand: Stand) -> list[dict[str, Any]]:
    kinds = ("deployments", "services", "configmaps", "secrets", "serviceaccounts")
    namespaced = [item for kind in kinds for item in stand.get(kind, NAMESPACE, labels=OURS)]
    return namespaced + [
        item for kind in ("clusterroles", "clusterrolebindings") for item in stand.get(kind, "", labels=OURS)
    ]


def versions(stand: Stand) -> set[tuple[str, str]]:
    """What tells whether somebody has edited the entrance: a status makes a Deployment another version, too."""
    return {
        (item["metadata"]["uid"], str(item["metadata"].get("generation") or item["metadata"]["resourceVersion"]))
        for item in ours(stand)
    }


def change(stand: Stand, *operations: dict[str, Any]) -> None:
    stand.patch("deployment", NAMESPACE, NAME, list(operations), how="json")


def pods_of(stand: Stand) -> set[str]:
    found = stand.get("pods", NAMESPACE, labels=OURS.partition(",")[2])
    return {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


def args_of(stand: Stand, number: int) -> list[str]:
    (found,) = stand.get("deployments", NAMESPACE, name=NAME)
    return found["spec"]["template"]["spec"]["containers"][number]["args"]


OPENED: dict[str, list[dict[str, Any]]] = {
    "the label proxy listens to everybody": [
        {"op": "replace", "path": "/spec/template/spec/containers/2/args/0", "value": "-insecure-listen-address=:8080"}
    ],
    "more paths": [
        {"op": "replace", "path": "/spec/template/spec/containers/0/args/6", "value": "--allow-paths=/api/v1/*"}
    ],
    "the host's network": [{"op": "add", "path": "/spec/template/spec/hostNetwork", "value": True}],
    "a name for another host": [
        {
            "op": "add",
            "path": "/spec/template/spec/hostAliases",
            "value": [{"ip": "192.0.2.1", "hostnames": ["kubernetes.default.svc"]}],
        }
    ],
    "another file of the configuration": [
        {
            "op": "add",
            "path": "/spec/template/spec/volumes/0/configMap/items",
            "value": [{"key": "config.json", "path": "config.json"}, {"key": "envoy.json", "path": "envoy.json"}],
        }
    ],
    "paused": [{"op": "add", "path": "/spec/paused", "value": True}],
    "another container": [
        {
            "op": "add",
            "path": "/spec/template/spec/containers/-",
            "value": {
                "name": "more",
                "image": images.PYTHON,
                "command": ["python3", "-c", "import signal; signal.pause()"],
            },
        }
    ],
}


@pytest.mark.parametrize("way", OPENED)
def test_an_entrance_that_was_opened_is_found_by_the_audit_and_closed_by_the_next_run(
    isolated: Stand, way: str
) -> None:
    change(isolated, *OPENED[way])
    found = isolated.play("check")
    assert found.code == 2, found.output
    assert f"isolation {NAMESPACE}/{NAME}: Deployment {NAMESPACE}/{NAME}: missing, edited" in found.text
    run = isolated.site(**ISOLATED)
    assert (run.code, run.changed) == (0, 1), run.output
    assert isolated.play("check").code == 0


def test_a_configuration_that_was_edited_is_found_and_put_right(isolated: Stand) -> None:
    isolated.patch("configmap", NAMESPACE, NAME, {"data": {"open.json": "{}"}})
    found = isolated.play("check")
    assert found.code == 2, found.output
    assert f"isolation {NAMESPACE}/{NAME}: ConfigMap {NAMESPACE}/{NAME}, Deployment {NAMESPACE}/{NAME}" in found.text
    before = pods_of(isolated)
    assert isolated.site(**ISOLATED).code == 0
    assert not before & pods_of(isolated), "pods may have read what was edited"
    again = isolated.site(**ISOLATED)
    assert (again.code, again.changed) == (0, 0), again.output
    (configuration,) = isolated.get("configmaps", NAMESPACE, name=NAME)
    assert set(configuration["data"]) == {"config.json", "envoy.json"}


def test_an_entrance_that_answers_without_credentials_is_told_from_one_that_was_edited(isolated: Stand) -> None:
    args = [word for word in args_of(isolated, 0) if "allow-paths" not in word] + ["--ignore-paths=/*/*/*"]
    change(isolated, {"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args})
    isolated.kubectl.rollout(isolated.step, NAMESPACE, f"deployment/{NAME}")
    pods = OURS.partition(",")[2]
    wait_until("the old pod to end", lambda: len(isolated.get("pods", NAMESPACE, labels=pods)) == 1, 60)
    found = isolated.play("check")
    assert found.code == 2, found.output
    assert "It answers a request without credentials." in found.text


def test_an_entrance_that_does_not_serve_is_found_and_mended(isolated: Stand) -> None:
    change(isolated, {"op": "replace", "path": "/spec/replicas", "value": 0})
    found = isolated.play("check")
    assert found.code == 2, found.output
    assert f"isolation {NAMESPACE}/{NAME}: Deployment {NAMESPACE}/{NAME}: missing, edited" in found.text
    isolated.delete("deployment", NAMESPACE, NAME)
    found = isolated.play("check")
    assert found.code == 2, found.output
    assert f"isolation {NAMESPACE}/{NAME}: Deployment {NAMESPACE}/{NAME}: missing" in found.text
    assert isolated.site(**ISOLATED).code == 0
    assert isolated.play("check").code == 0


def test_an_account_that_may_not_look_at_the_entrance_reports_that_and_everything_else(
    isolated: Stand, tmp_path: Any
) -> None:
    rules = [rule for role in RBAC[0] for rule in role["rules"]]
    dashboard = isolated.get("monitordashboards", NAMESPACE, name="ai-gateway-token-usage")[0]["metadata"]["name"]
    isolated.delete("monitordashboard", NAMESPACE, dashboard)
    try:
        found = isolated.play("check", environment=isolated.account(tmp_path, rules))
        assert found.code == 2, found.output
        assert f"isolation {NAMESPACE}/{NAME}: The entrance could not be checked." in found.text
        assert "Bind docs/rbac-isolation.yml to this account" in found.text
        assert "dashboard MonitorDashboard" in found.text
        assert "the audit did not finish" not in found.text
    finally:
        assert isolated.site(**ISOLATED).code == 0


def test_what_carries_the_name_and_is_not_ours_is_not_touched(metered: Stand) -> None:
    metered.leave_no_entrance()
    metered.delete("podmonitor", platform.GATEWAY_NAMESPACE, "ai-gateway-metrics")
    metered.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE}})
    try:
        run = metered.site(**ISOLATED)
        assert run.code == 2
        assert f"ConfigMap {NAMESPACE}/{NAME}: already in the cluster, and not ours." in run.text
        assert not ours(metered)
        assert not metered.monitors(), "a monitor was created although the run could not be finished"
    finally:
        metered.delete("configmap", NAMESPACE, NAME)


def test_the_shipped_roles_are_enough_and_less_is_refused_at_once(metered: Stand, tmp_path: Any) -> None:
    metered.have_images(*images.ISOLATION)
    metered.leave_no_entrance()
    rules = [rule for document in RBAC for role in document for rule in role["rules"]]
    less = [rule for rule in rules if "tokenusages" not in rule["resources"]]
    refused = metered.site(environment=metered.account(tmp_path / "less", less), **ISOLATED)
    assert refused.code == 2
    assert "docs/rbac-isolation.yml" in refused.text
    assert not ours(metered)
    enough = metered.account(tmp_path / "enough", rules)
    run = metered.site(environment=enough, **ISOLATED)
    assert run.code == 0, run.output
    assert len(ours(metered)) == 8
    removed = metered.play("remove", environment=enough)
    assert removed.code == 0, removed.output
    assert not ours(metered)


def test_removal_takes_all_of_it_back(isolated: Stand) -> None:
    assert len(ours(isolated)) == 8
    run = isolated.play("remove")
    assert run.code == 0, run.output
    assert not ours(isolated)
    assert "entrances removed: " in run.text
