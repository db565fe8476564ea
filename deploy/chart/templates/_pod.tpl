{{/* The settings of the process, each a variable that docs/reference/configuration.md names. */}}
{{- define "headwater.environment" -}}
- name: HEADWATER_LISTEN
  value: "0.0.0.0:7430"
- name: HEADWATER_INSECURE
  value: "true"
- name: HEADWATER_DATA
  value: /var/lib/headwater/data
- name: HEADWATER_DRAIN_SECONDS
  value: {{ .Values.drainSeconds | quote }}
{{- if eq .Values.engine "postgres" }}
- name: HEADWATER_ENGINE
  valueFrom:
    secretKeyRef:
      name: {{ required "engine postgres: name the Secret with the database's URL in postgres.secret" .Values.postgres.secret }}
      key: {{ .Values.postgres.key }}
{{- end }}
{{- if or .Values.keys.claim (eq .Values.engine "postgres") }}
{{- /* Without a claim nothing can be written there: a service with personal data then does not start, instead of losing its keys with the pod. */}}
- name: HEADWATER_KEYS
  value: /var/lib/headwater-keys/store
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: HEADWATER_{{ $name | upper }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- range $name, $address := .Values.peers }}
- name: HEADWATER_PEER_{{ $name | upper | replace "-" "_" }}
  value: {{ $address | quote }}
{{- end }}
{{- end -}}

{{/* A stop waits twice for `drainSeconds`, at most: for commands under way, and for those whose client has gone. */}}
{{- define "headwater.grace" -}}
{{- add .Values.preStopSeconds (mul 2 .Values.drainSeconds) 10 -}}
{{- end -}}

{{- define "headwater.pod" -}}
metadata:
  labels:
    {{- include "headwater.own" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "headwater.account" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "headwater.grace" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: service
      image: {{ printf "%s:%s" (required "image.repository: name the image of your service" .Values.image.repository) (required "image.tag: name a version; no pod may change by itself" .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: ["run"]
      env:
        {{- include "headwater.environment" . | nindent 8 }}
      ports:
        - name: http
          containerPort: 7430
      {{- /* Opening reads the journal, which may take a while behind a crash; from then on the process answers at once. */}}
      startupProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 300
      livenessProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      {{- if gt (int .Values.preStopSeconds) 0 }}
      lifecycle:
        preStop:
          exec:
            command: ["sleep", {{ .Values.preStopSeconds | quote }}]
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/headwater
        - name: tmp
          mountPath: /tmp
        {{- if .Values.keys.claim }}
        - name: keys
          mountPath: /var/lib/headwater-keys
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if eq .Values.engine "postgres" }}
    - name: data
      emptyDir:
        sizeLimit: {{ .Values.scratch.sizeLimit }}
    {{- end }}
    {{- with .Values.keys.claim }}
    - name: keys
      persistentVolumeClaim:
        claimName: {{ . }}
    {{- end }}
  {{- if eq .Values.engine "postgres" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "headwater.own" . | nindent 10 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
