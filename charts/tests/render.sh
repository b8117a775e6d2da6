#!/usr/bin/env bash
# What the chart refuses, and what it makes of values other than the default ones.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=charts/tests/lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# refused PATH OPTION...: the message names the value's path.
refused() {
  local path=$1
  shift
  if render "$@" >"$work/out" 2>"$work/err"; then
    fail "$* was accepted"
  elif grep -qF -- "$path" "$work/err"; then
    pass "$* is refused: $(grep -F -- "$path" "$work/err" | head -n 1 | sed 's/^ *//')"
  else
    fail "$* is refused without a word about $path: $(cat "$work/err")"
  fi
}

# holds TITLE FILTER OPTION...: jq's FILTER is true of the rendered objects.
holds() {
  local title=$1 filter=$2
  shift 2
  if ! render "$@" >"$work/out" 2>"$work/err"; then
    fail "$title: $(cat "$work/err")"
  elif to_json <"$work/out" | jq -e "def kind(\$name): map(select(.kind == \$name)); def container: kind(\"Deployment\")[0].spec.template.spec.containers[0]; $filter" >/dev/null; then
    pass "$title"
  else
    fail "$title: not so: $filter"
  fi
}

check "helm lint --strict" helm lint --strict --quiet "$chart"

refused replicaCount --set replicaCount=2
refused /replicas --set replicas=-1
refused /image/pullPolicy --set image.pullPolicy=Sometimes
refused /image/digest --set image.digest=sha256:beef
refused /image/repository --set image.repository=
refused /serverImage/tag --set-json 'serverImage.tag=1.0'
refused /modelHosts/0 --set 'modelHosts={https://models.example.com}'
refused /modelHosts/0 --set 'modelHosts={*example.com}'
refused /imageVolumes --set-string imageVolumes=off
refused /watchNamespaces/0 --set 'watchNamespaces={Team_A}'
refused /concurrency --set concurrency=0
refused /podMonitor/interval --set podMonitor.interval=often
refused /maxRollouts --set maxRollouts=0
refused /log/format --set log.format=xml
refused /resources --set resources.request.cpu=1
refused /resources/limits/memory --set resources.limits.memory=lots
refused /crds/install --set-string crds.install=yes
refused /terminationGracePeriodSeconds --set terminationGracePeriodSeconds=soon
refused /tests --set tests.enable=true
refused 'a tag or a digest' --set image.tag=

holds "no wildcard and no Secret in any rule" \
  '[.[] | select(.kind == "ClusterRole") | .rules[] | .apiGroups[], .resources[], .verbs[]] | all(. != "*" and . != "secrets")'
holds "the pod is hardened" '
  kind("Deployment")[0].spec.template.spec
  | .securityContext.runAsNonRoot and .securityContext.runAsUser == 65532
    and .securityContext.seccompProfile.type == "RuntimeDefault" and .enableServiceLinks == false
    and (.containers[0].securityContext
      | .allowPrivilegeEscalation == false and .readOnlyRootFilesystem and .capabilities.drop == ["ALL"])'
# shellcheck disable=SC2016  # jq's variables
holds "helm test asks for readiness by the Service, from a pod as hardened as the operator is" '
  . as $all | kind("Pod")[0] as $pod | kind("Service")[0] as $service | $pod.metadata.annotations["helm.sh/hook"] == "test"
  and ($pod.spec | .securityContext == ($all | kind("Deployment")[0].spec.template.spec.securityContext)
    and .automountServiceAccountToken == false and .restartPolicy == "Never")
  and ($pod.spec.containers[0] | .securityContext == ($all | container.securityContext)
    and (.command | index("--host") as $at | .[$at + 1] == "\($service.metadata.name).kubesentiment-system.svc"))
  and ([$service.spec.selector | to_entries[] | select($pod.metadata.labels[.key] != .value)] != [])'
holds "helm test can be left out" 'kind("Pod") == []' --set tests.enabled=false
holds "nor where nothing is to be asked" 'kind("Pod") == []' --set metrics.service.enabled=false
holds "helm uninstall keeps the CRD" \
  'kind("CustomResourceDefinition")[0].metadata.annotations["helm.sh/resource-policy"] == "keep"'
RELEASE=other holds "the release's name changes no name" \
  'map(.metadata.name) | all(startswith("kubesentiment-operator") or . == "sentimentservices.kubesentiment.io")'
holds "crds.install=false leaves the CRD out" 'kind("CustomResourceDefinition") == []' --set crds.install=false
holds "a digest replaces the tag" 'container.image == "registry.example.com/op@sha256:" + ("0" * 64)' \
  --set image.repository=registry.example.com/op --set "image.digest=sha256:$(printf '0%.0s' {1..64})"
holds "serverImage becomes DEFAULT_IMAGE" \
  'container.env | any(.name == "DEFAULT_IMAGE" and .value == "registry.example.com:5000/server:1")' \
  --set serverImage.repository=registry.example.com:5000/server --set-string serverImage.tag=1
holds "modelHosts and imageVolumes reach the operator" '
  container.env | any(.name == "MODEL_HOSTS" and .value == "huggingface.co,*.example.com:8443,[2001:db8::1]:5000")
    and any(.name == "IMAGE_VOLUMES" and .value == "never")' \
  --set-json 'modelHosts=["huggingface.co","*.example.com:8443","[2001:db8::1]:5000"]' --set imageVolumes=never
holds "watchNamespaces: a Role in each, no ClusterRole for the operator, the list in the environment" '
  def watching(kind): kind | map(select(.metadata.name == "kubesentiment-operator"));
  (watching(kind("Role")) | map(.metadata.namespace) | sort) == ["123", "team-a"]
  and (kind("RoleBinding") | all(.subjects[0].namespace == "kubesentiment-system")) and (watching(kind("RoleBinding")) | length) == 2
  and (kind("ClusterRole") | map(.metadata.name) | all(. != "kubesentiment-operator")) and kind("ClusterRoleBinding") == []
  and (container.env | any(.name == "WATCH_NAMESPACES" and .value == "team-a,123"))' \
  --set-json 'watchNamespaces=["team-a","123"]'
holds "rbac, metrics, budget and network policy can be left out" \
  '[.[].kind] | sort == ["CustomResourceDefinition", "Deployment", "ServiceAccount"]' \
  --set rbac.create=false --set rbac.userRoles=false --set metrics.service.enabled=false \
  --set podDisruptionBudget.enabled=false --set networkPolicy.enabled=false --set admissionPolicies.enabled=false
holds "the operator's account is held to its children, whatever it is called" '
  kind("ValidatingAdmissionPolicy")[0].spec.matchConditions[0].expression
  == "request.userInfo.username == \u0027system:serviceaccount:kubesentiment-system:mine\u0027"' \
  --set serviceAccount.name=mine
holds "who may publish a service is asked where the operator works" '
  (kind("ValidatingAdmissionPolicyBinding") | map(.spec.policyName) | sort) == ["second-children", "second-deputies"]
  and (kind("ValidatingAdmissionPolicyBinding")[1].spec.matchResources.namespaceSelector.matchExpressions[0].values == ["team-a"])' \
  --set fullnameOverride=second --set 'watchNamespaces={team-a}'
holds "CustomResourceDefinitions are looked at by name, and only from the ClusterRole" '
  [.[] | select(.kind == "ClusterRole") | .rules[] | select(.resources == ["customresourcedefinitions"])]
  | length == 1 and .[0].verbs == ["list", "watch"] and (.[0].resourceNames | length) == 3'
holds "no Role looks at CustomResourceDefinitions" \
  '[.[] | select(.kind == "Role") | .rules[].resources[]] | all(. != "customresourcedefinitions")' --set 'watchNamespaces={team-a}'
holds "a service account of one's own" \
  'kind("ServiceAccount") == [] and kind("ClusterRoleBinding")[0].subjects[0].name == "mine" and kind("Deployment")[0].spec.template.spec.serviceAccountName == "mine"' \
  --set serviceAccount.create=false --set serviceAccount.name=mine
# shellcheck disable=SC2016  # jq's variables
holds "scheduling, pull secrets and environment reach the pod" '
  kind("Deployment")[0].spec.template as $pod | $pod.spec
  | .nodeSelector.disk == "ssd" and .tolerations[0].key == "a" and .affinity.podAntiAffinity == {}
    and .priorityClassName == "high" and .imagePullSecrets == [{name: "registry"}] and .terminationGracePeriodSeconds == 5
    and ($pod.metadata.labels.team == "ml") and ($pod.metadata.annotations.note == "x")
    and (.containers[0].env | any(.name == "LISTEN_ADDRESS"))' \
  --set nodeSelector.disk=ssd --set 'tolerations[0].key=a' --set-json 'affinity={"podAntiAffinity":{}}' \
  --set priorityClassName=high --set 'imagePullSecrets[0].name=registry' --set terminationGracePeriodSeconds=5 \
  --set podLabels.team=ml --set podAnnotations.note=x --set 'extraEnv[0].name=LISTEN_ADDRESS' --set 'extraEnv[0].value=[::]:8080'
holds "replicas elect the one that works by a Lease in their namespace" '
  kind("Deployment")[0].spec.replicas == 3
  and (container.env | any(.name == "LEASE_NAMESPACE" and .valueFrom.fieldRef.fieldPath == "metadata.namespace"))
  and (kind("Role") | map(.metadata.namespace) == ["kubesentiment-system"])
  and (kind("Role")[0].rules | any(.resourceNames == ["kubesentiment-operator"] and .verbs == ["get", "update"]))' \
  --set replicas=3
holds "fullnameOverride names everything" 'kind("Deployment")[0].metadata.name == "second" and kind("Service")[0].metadata.name == "second-metrics"' \
  --set fullnameOverride=second
holds "a single replica has no budget: a drain would wait for it for ever" 'kind("PodDisruptionBudget") == []' --set replicas=1
holds "dashboards, alerts and a PodMonitor on request" '
  (kind("ConfigMap")[0] | .metadata.labels.grafana_dashboard == "1" and .metadata.namespace == "grafana"
    and (.data | to_entries | length > 1 and all(.value | fromjson | .panels | length > 5)))
  and (kind("PrometheusRule")[0] | .metadata.labels.release == "prometheus" and ([.spec.groups[].rules[]] | length > 5))
  and (kind("PodMonitor")[0].spec | .selector.matchLabels == {"app.kubernetes.io/name": "kubesentiment-operator", "app.kubernetes.io/instance": "kubesentiment-operator"}
    and .podMetricsEndpoints == [{port: "metrics", path: "/metrics", honorLabels: true, interval: "30s"}])' \
  --set dashboards.enabled=true --set dashboards.namespace=grafana --set prometheusRule.enabled=true \
  --set prometheusRule.labels.release=prometheus --set podMonitor.enabled=true --set podMonitor.interval=30s
check "NOTES say how to go on" grep -q 'kubectl explain ssvc.spec' "$chart/templates/NOTES.txt"
summary
