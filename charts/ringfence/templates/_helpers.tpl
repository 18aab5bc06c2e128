{{/*
Names are fixed, not derived from the release: Ringfence is one per cluster, its admission configuration is known to the
code by name, and a second release must collide at once instead of fighting the first for every pod.
*/}}

{{- define "ringfence.labels" -}}
app.kubernetes.io/name: ringfence
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* What a Deployment, a Service or a NetworkPolicy selects pods by. Takes the component's name. */ -}}
{{- define "ringfence.selector" -}}
app.kubernetes.io/name: ringfence
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* Replicas apart from each other, as far as there are nodes and zones. Takes the component's name. */ -}}
{{- define "ringfence.spread" -}}
{{- $component := . }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "ringfence.selector" $component | nindent 6 }}
{{- end }}
{{- end }}

{{- define "ringfence.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* With the tag beside the digest, so that the version is seen; runtimes go by the digest. */ -}}
{{- define "ringfence.proxyImage" -}}
{{- with .Values.proxy.image -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* The namespaces that Ringfence never touches, that of its own `node` among them. */ -}}
{{- define "ringfence.exempt" -}}
{{- toJson (ternary (append .Values.exemptNamespaces .Values.node.namespace | uniq) .Values.exemptNamespaces .Values.proxy.enabled) -}}
{{- end }}

{{- /* Of the settings, what `node` needs. */ -}}
{{- define "ringfence.nodeConfig" -}}
httpHost: {{ .Values.node.listenOn | quote }}
httpPort: {{ .Values.node.port }}
logLevel: {{ .Values.log.level | quote }}
logFormat: {{ .Values.log.format | quote }}
{{- end }}

{{- /* The settings file; see docs/install.md. */ -}}
{{- define "ringfence.config" -}}
trustDomain: {{ .Values.trustDomain | quote }}
podCIDRs: {{ toJson .Values.network.podCIDRs }}
cidrCoversPods: {{ .Values.network.cidrCoversPods }}
hostOpenCIDRs: {{ toJson .Values.network.hostOpenCIDRs }}
hostClosedCIDRs: {{ toJson .Values.network.hostClosedCIDRs }}
jwksHosts: {{ toJson .Values.network.jwksHosts }}
openServices: {{ toJson .Values.network.openServices }}
defaultEnroll: {{ .Values.defaultEnroll | quote }}
exemptNamespaces: {{ include "ringfence.exempt" . }}
ca: {{ toJson (omit .Values.ca "admins") }}
policyReports: {{ .Values.policyReports.enabled }}
signatures: {{ toJson .Values.signatures }}
proxy:
  enabled: {{ .Values.proxy.enabled }}
  image: {{ include "ringfence.proxyImage" . | quote }}
  pullPolicy: {{ .Values.proxy.image.pullPolicy }}
  requests: {{ toJson .Values.proxy.resources.requests }}
  limits: {{ toJson .Values.proxy.resources.limits }}
  concurrency: {{ .Values.proxy.concurrency }}
  drain: {{ .Values.proxy.drain | quote }}
  logLevel: {{ .Values.proxy.logLevel }}
  ownAddressOnly: {{ .Values.proxy.ownAddressOnly }}
{{- if .Values.proxy.tracing.address }}
  tracing: {{ toJson .Values.proxy.tracing }}
{{- end }}
{{- with .Values.network.apiServer }}
apiServer: {{ toJson . }}
{{- end }}
logLevel: {{ .Values.log.level | quote }}
logFormat: {{ .Values.log.format | quote }}
{{- end }}

{{- define "ringfence.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "ringfence.securityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Who and where a process is; the settings file says the rest. */ -}}
{{- define "ringfence.env" -}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}

{{- define "ringfence.volumeMounts" -}}
- {name: config, mountPath: /etc/ringfence, readOnly: true}
- {name: run, mountPath: /run/ringfence}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* Memory, so that a private key that passes through a file never meets a disk. */ -}}
{{- define "ringfence.volumes" -}}
- name: config
  configMap: {name: ringfence-config}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 4Mi}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end }}

{{- /* Parts of a pod that the platform decides. Takes (dict "root" $ "of" .Values.<component>). */ -}}
{{- define "ringfence.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Names of the cluster-wide objects that the controller writes, as the code knows them. */ -}}
{{- define "ringfence.webhookConfigurations" -}}
[ringfence]
{{- end }}

{{- /* Metadata of everything that lives only while `helm uninstall` runs. Takes (dict "root" $ "weight" "0"). */ -}}
{{- define "ringfence.uninstallMeta" -}}
name: ringfence-uninstall
labels: {{- include "ringfence.labels" .root | nindent 2 }}
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-weight: {{ .weight | quote }}
  # A Job that failed stays, so that its log can be read; the next try replaces it.
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* Egress and metrics of Ringfence's own NetworkPolicies. */ -}}
{{- define "ringfence.egress" -}}
{{- with .Values.networkPolicy.apiServerPorts }}
egress:
  - ports:
      {{- range . }}
      - {protocol: TCP, port: {{ . }}}
      {{- end }}
  - ports:
      - {protocol: UDP, port: 53}
      - {protocol: TCP, port: 53}
{{- end }}
{{- end }}

{{- define "ringfence.metrics" -}}
{{- with .Values.networkPolicy.metricsFrom }}
- from: {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: TCP, port: http}
{{- end }}
{{- end }}

{{- /* Subjects of a binding, from values: people need the group of their API, ServiceAccounts must not have one. */ -}}
{{- define "ringfence.subjects" -}}
{{- range . }}
- kind: {{ .kind }}
  name: {{ .name | quote }}
  {{- if eq .kind "ServiceAccount" }}
  namespace: {{ .namespace }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end }}
