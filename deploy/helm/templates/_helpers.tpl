{{- define "focus.name" -}}
{{- ternary .Release.Name (printf "%s-focus" .Release.Name) (contains "focus" .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of a component: a dict of root and component. */}}
{{- define "focus.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "focus.labels" -}}
{{ include "focus.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "focus.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "focus.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "focus.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "focus.auth" -}}
{{- dig "oci" "auth" "api_key" .Values.config -}}
{{- end -}}

{{- define "focus.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "focus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What every pod of ours begins with. Services named focus would look like variables of the program. */}}
{{- define "focus.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: {{ and (ne .component "setup") (eq (include "focus.auth" .root) "workload_identity") }}
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "focus.podSecurity" . | nindent 2 }}
{{- end -}}

{{/* Who the component is for NATS, and where its files are. */}}
{{- define "focus.env" -}}
{{- $nats := .root.Values.nats -}}
{{- $role := ternary "admin" .component (eq .component "setup") -}}
- {name: FOCUS_STATE_DIR, value: /data}
- {name: FOCUS_HTTP_LISTEN, value: "0.0.0.0:9464"}
- {name: FOCUS_LOGGING_FORMAT, value: {{ dig "logging" "format" "json" .root.Values.config | quote }}}
{{- if ne .component "setup" }}
- {name: FOCUS_NATS_MANAGE, value: verify}
{{- else }}
- {name: FOCUS_NATS_MANAGE, value: create}
{{- end }}
{{- if eq $nats.auth "nkey" }}
- {name: FOCUS_NATS_NKEY_FILE, value: /run/secrets/nats/user.nk}
- {name: FOCUS_NATS_INBOX_PREFIX, value: _INBOX_{{ $role }}}
{{- else if eq $nats.auth "creds" }}
- {name: FOCUS_NATS_CREDS, value: /run/secrets/nats/user.creds}
{{- end }}
{{- if $nats.ca }}
- {name: FOCUS_NATS_TLS_CA, value: /run/secrets/nats/ca.pem}
{{- end }}
{{- if $nats.clientCertificate }}
- {name: FOCUS_NATS_TLS_CERT, value: /run/secrets/nats/tls.crt}
- {name: FOCUS_NATS_TLS_KEY, value: /run/secrets/nats/tls.key}
{{- end }}
{{- if ne .component "setup" }}
{{- if eq (include "focus.auth" .root) "api_key" }}
- {name: FOCUS_OCI_CONFIG_FILE, value: /run/secrets/oci/config}
{{- else if eq (include "focus.auth" .root) "workload_identity" }}
- {name: OCI_RESOURCE_PRINCIPAL_VERSION, value: "2.2"}
- {name: OCI_RESOURCE_PRINCIPAL_REGION, value: {{ .root.Values.workloadIdentity.region | quote }}}
{{- end }}
{{- if .root.Values.secrets.aws }}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /run/secrets/aws/credentials}
{{- end }}
{{- end }}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "focus.usesNATSFiles" -}}
{{- if or (ne .Values.nats.auth "none") .Values.nats.ca .Values.nats.clientCertificate }}yes{{ end -}}
{{- end -}}

{{- define "focus.mounts" -}}
- {name: config, mountPath: /etc/oracle-focus-agent/config.yaml, subPath: config.yaml, readOnly: true}
{{- if include "focus.usesNATSFiles" .root }}
- {name: nats, mountPath: /run/secrets/nats, readOnly: true}
{{- end }}
{{- if ne .component "setup" }}
- {name: state, mountPath: /data}
{{- if eq (include "focus.auth" .root) "api_key" }}
- {name: oci, mountPath: /run/secrets/oci, readOnly: true}
{{- end }}
{{- if .root.Values.secrets.aws }}
- {name: aws, mountPath: /run/secrets/aws, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{/* Mode 288 is 0440: YAML has two ways to read that. */}}
{{- define "focus.volumes" -}}
- name: config
  configMap: {name: {{ include "focus.name" .root }}{{ if eq .component "setup" }}-setup{{ end }}}
{{- if include "focus.usesNATSFiles" .root }}
- name: nats
  secret: {secretName: {{ index .root.Values.secrets.nats (ternary "admin" .component (eq .component "setup")) }}, defaultMode: 288}
{{- end }}
{{- if ne .component "setup" }}
- name: state
  {{- if and (eq .component "scanner") .root.Values.scanner.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ include "focus.name" .root }}-scanner}
  {{- else }}
  emptyDir: {sizeLimit: 64Mi}
  {{- end }}
{{- if eq (include "focus.auth" .root) "api_key" }}
- name: oci
  secret: {secretName: {{ .root.Values.secrets.oci }}, defaultMode: 288}
{{- end }}
{{- if .root.Values.secrets.aws }}
- name: aws
  secret: {secretName: {{ .root.Values.secrets.aws }}, defaultMode: 288}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container of a component. */}}
{{- define "focus.container" -}}
- name: {{ .component }}
  image: {{ include "focus.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [{{ .component }}, --config, /etc/oracle-focus-agent/config.yaml]
  securityContext:
    {{- include "focus.containerSecurity" . | nindent 4 }}
  env:
    {{- include "focus.env" . | nindent 4 }}
  {{- with .root.Values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if ne .component "setup" }}
  ports:
    - {name: http, containerPort: 9464, protocol: TCP}
  startupProbe:
    httpGet: {path: /livez, port: http}
    periodSeconds: 2
    failureThreshold: 30
  livenessProbe:
    httpGet: {path: /livez, port: http}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /readyz, port: http}
    periodSeconds: 10
    timeoutSeconds: 5
  {{- end }}
  resources:
    {{- toYaml (index .root.Values .component).resources | nindent 4 }}
  volumeMounts:
    {{- include "focus.mounts" . | nindent 4 }}
{{- end -}}

{{/* Names as the program makes them of nats.prefix and oci.name. */}}
{{- define "focus.prefix" -}}{{ dig "nats" "prefix" "focus" .Values.config }}{{- end -}}
{{- define "focus.route" -}}{{ dig "oci" "name" "main" .Values.config }}{{- end -}}
{{- define "focus.stream" -}}{{ include "focus.prefix" . | upper }}_FILES{{- end -}}
{{- define "focus.consumer" -}}
{{- $route := include "focus.route" .root -}}
copiers-{{ .lane }}{{ if ne $route "main" }}-{{ $route }}{{ end }}
{{- end -}}

{{- define "focus.dns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
- ports:
    {{- range .Values.nats.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}
