{{- define "batch.labels" -}}
app.kubernetes.io/name: batch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "batch.hook" -}}
backoffLimit: 0
template:
  metadata:
    labels:
      role: hook
      {{- if .Values.hooks.labelled }}
      {{- include "batch.labels" . | nindent 6 }}
      {{- end }}
      {{- if .Values.hooks.fail }}
      test.hossted.com/fail: "true"
      {{- end }}
      {{- if .Values.hooks.hold }}
      test.hossted.com/hold-image-pull: "true"
      {{- end }}
  spec:
    restartPolicy: Never
    containers:
      - {name: hook, image: {{ .Values.image }}}
{{- end }}
