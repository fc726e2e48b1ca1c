#!/usr/bin/env bash
# What a careful person's script does where all is in place, with kubectl, jq and curl: the other yardstick of `make bench`.
# Wants KUBECONFIG, and kubectl and jq on the PATH.
set -euo pipefail

gateways=envoy-gateway-system monitoring=cpaas-system flag=--metricsRequestHeaderAttributes
kubectl get crd podmonitors.monitoring.coreos.com -o name

controller=$(kubectl -n "$gateways" get deployment ai-gateway-controller -o json)
wanted=$(jq -r --arg flag "$flag=" '.spec.template.spec.containers[0].args[] | select(startswith($flag)) | ltrimstr($flag)' <<<"$controller")
number=$(jq --arg flag "$flag=" '.spec.template.spec.containers[0].args | map(startswith($flag)) | index(true)' <<<"$controller")
[[ $(kubectl -n "$gateways" get deployment ai-gateway-controller \
    -o jsonpath="{.spec.template.spec.containers[0].args[$number]}") == "$flag=$wanted" ]]

for gateway in gateway-a gateway-b; do
    owned=gateway.envoyproxy.io/owning-gateway-name=$gateway
    for pod in $(kubectl -n "$gateways" get pod -l "$owned" -o jsonpath='{.items[*].metadata.name}'); do
        has=$(kubectl -n "$gateways" get pod "$pod" -o json | jq -r '
            .spec.initContainers[] | select(.name == "ai-gateway-extproc").args
            | .[index("-metricsRequestHeaderAttributes") + 1]')
        [[ $has == "$wanted" ]] || { echo "stale: $pod has $has" >&2; exit 1; }
    done
done

kubectl -n "$gateways" rollout status deployment ai-gateway-controller
for gateway in gateway-a gateway-b; do
    kubectl -n "$gateways" rollout status deployment -l "gateway.envoyproxy.io/owning-gateway-name=$gateway"
done

kubectl get podmonitor -A -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name
kubectl get prometheus -A -o json | jq -r '.items[] | "\(.metadata.namespace)/\(.metadata.name) \(.spec.podMonitorSelector)"'

pod=$(kubectl -n "$monitoring" get pod -l app.kubernetes.io/name=prometheus -o jsonpath='{.items[0].metadata.name}')
port=$((20000 + RANDOM % 20000))
kubectl -n "$monitoring" port-forward "$pod" "$port:9090" >/dev/null &
trap 'kill $!' EXIT
for ((tries = 0; tries < 200; tries++)); do
    if curl --silent --output /dev/null "http://127.0.0.1:$port/-/ready"; then break; fi
    sleep 0.05
done
curl --silent "http://127.0.0.1:$port/api/v1/targets?state=active" | jq -c '
    [.data.activeTargets[] | select(.discoveredLabels.__meta_kubernetes_pod_container_port_number == "1064")]
    | group_by(.scrapePool) | map({pool: .[0].scrapePool, targets: length, health: (map(.health) | unique)})'
curl --silent "http://127.0.0.1:$port/api/v1/label/__name__/values" | jq -r '.data[] | select(test("gen_ai_client_token"))'

kubectl -n "$monitoring" get monitordashboards -o name
