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
  resources: [services, serviceaccounts, persistentvolumeclaims]
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
# Where these three are installed.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
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
# A kubelet's last warning on a pod, where its status has no words.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}

{{/* The rules of the admission policies, in CEL; config/admission has the same. */}}
{{- define "operator.childVariables" }}
- name: ours
  expression: >-
    request.operation != 'DELETE' && object.metadata.?labels['app.kubernetes.io/managed-by'].orValue('') == 'kubesentiment-operator'
    && object.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false)
    && owner.kind == 'SentimentService' && owner.apiVersion.startsWith('kubesentiment.io/'))
- name: oldOwners
  expression: "oldObject == null ? [] : oldObject.metadata.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false))"
- name: wasOurs
  expression: "variables.oldOwners.exists(owner, owner.kind == 'SentimentService' && owner.apiVersion.startsWith('kubesentiment.io/'))"
- name: wasNobodys
  expression: >-
    variables.oldOwners.size() == 0
    && oldObject.metadata.?labels['app.kubernetes.io/managed-by'].orValue('') == 'kubesentiment-operator'
- name: pod
  expression: "request.resource.resource == 'deployments' && request.operation != 'DELETE' ? object.spec.template.spec : null"
- name: containers
  expression: >-
    variables.pod == null ? [] : variables.pod.containers + variables.pod.?initContainers.orValue([])
{{- end }}

{{- define "operator.childValidations" }}
- expression: "request.operation == 'DELETE' || variables.ours"
  message: the operator writes only what bears its label and has a SentimentService as its controller
- expression: "request.operation == 'CREATE' || variables.wasOurs || (request.operation == 'UPDATE' && variables.wasNobodys)"
  message: the operator changes and deletes only children of a SentimentService
- expression: >-
    variables.pod == null || !(variables.pod.?hostNetwork.orValue(false) || variables.pod.?hostPID.orValue(false)
    || variables.pod.?hostIPC.orValue(false) || variables.pod.?volumes.orValue([]).exists(volume, has(volume.hostPath))
    || variables.containers.exists(container, container.?securityContext.?privileged.orValue(false)
    || container.?securityContext.?allowPrivilegeEscalation.orValue(true)))
  message: the operator makes no pod that reaches its node
- expression: "variables.pod == null || !variables.pod.?automountServiceAccountToken.orValue(true)"
  message: the operator makes no pod with the token of a service account
{{- end }}

{{- define "operator.deputyVariables" }}
- name: route
  expression: >-
    object.?spec.?route.hasValue()
    && (oldObject == null || oldObject.?spec.?route.orValue(null) != object.spec.route)
- name: grpcRoute
  expression: "variables.route && object.spec.route.?grpc.hasValue()"
- name: monitoring
  expression: >-
    object.?spec.?monitoring.hasValue()
    && (oldObject == null || oldObject.?spec.?monitoring.orValue(null) != object.spec.monitoring)
{{- end }}

{{- define "operator.deputyValidations" }}
- expression: >-
    !variables.route
    || authorizer.group('gateway.networking.k8s.io').resource('httproutes').namespace(request.namespace).check('create').allowed()
  messageExpression: >-
    'spec.route: ' + request.userInfo.username + ' may not create httproutes.gateway.networking.k8s.io in namespace '
    + request.namespace + ': ask for that right, or leave route as it is'
  reason: Forbidden
- expression: >-
    !variables.grpcRoute
    || authorizer.group('gateway.networking.k8s.io').resource('grpcroutes').namespace(request.namespace).check('create').allowed()
  messageExpression: >-
    'spec.route.grpc: ' + request.userInfo.username + ' may not create grpcroutes.gateway.networking.k8s.io in namespace '
    + request.namespace + ': ask for that right, or leave route as it is'
  reason: Forbidden
- expression: >-
    !variables.monitoring
    || authorizer.group('monitoring.coreos.com').resource('podmonitors').namespace(request.namespace).check('create').allowed()
  messageExpression: >-
    'spec.monitoring: ' + request.userInfo.username + ' may not create podmonitors.monitoring.coreos.com in namespace '
    + request.namespace + ': ask for that right, or leave monitoring as it is'
  reason: Forbidden
{{- end }}
