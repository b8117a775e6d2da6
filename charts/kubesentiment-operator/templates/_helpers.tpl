{{/* Without the release's name, so that the chart and the manifests in config/ install the same objects. */}}
{{- define "operator.name" -}}
{{ default .Chart.Name .Values.fullnameOverride }}
{{- end }}

{{- define "operator.serviceAccountName" -}}
{{ default (include "operator.name" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: kubesentiment
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image reference of {repository, tag, digest}. */}}
{{- define "operator.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ required "an image needs a tag or a digest" .tag }}
{{- end -}}
{{- end }}

{{/* What the operator may do, in the cluster or in each watched namespace. */}}
{{- define "operator.rules" -}}
- apiGroups: [kubesentiment.io]
  resources: [sentimentservices]
  verbs: [get, list, watch]
- apiGroups: [kubesentiment.io]
  resources: [sentimentservices/status]
  verbs: [get, patch]
# For owner references that block deletion, where the API server checks the right to set them.
- apiGroups: [kubesentiment.io]
  resources: [sentimentservices/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Where these two are installed.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# The content of one that a spec names decides when its pods roll.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
# Only looked at, to say why a service isn't ready.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch]
# A pod that its node evicts, which a kubelet's Event tells, leaves its service before it ends.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch, create, patch]
{{- end }}
