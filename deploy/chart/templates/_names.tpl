{{/* What everything of a release is called. */}}
{{- define "headwater.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "headwater.own" -}}
app.kubernetes.io/name: headwater
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headwater.labels" -}}
{{ include "headwater.own" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.image.tag }}
app.kubernetes.io/version: {{ . | trunc 63 | quote }}
{{- end }}
{{- end -}}

{{- define "headwater.account" -}}
{{- default (include "headwater.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Pods of the shared engine: more than one only where nothing is one process's own. */}}
{{- define "headwater.replicas" -}}
{{- if .Values.keys.claim -}}1{{- else -}}{{ .Values.replicas }}{{- end -}}
{{- end -}}
