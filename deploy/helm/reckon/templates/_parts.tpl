{{- define "reckon.labels" -}}
app.kubernetes.io/name: reckon
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The environment of every container. */}}
{{- define "reckon.environment" -}}
- {name: RECKON_DATA_DIR, value: /data}
- {name: RECKON_LOG_FORMAT, value: json}
- {name: RECKON_SNAPSHOT_URL, value: {{ .Values.snapshotUrl | quote }}}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* What every container may not do. */}}
{{- define "reckon.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "reckon.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}
