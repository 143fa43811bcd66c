{{- define "keycloak.selector" -}}
app.kubernetes.io/name: keycloak
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "keycloak.labels" -}}
{{ include "keycloak.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: keycloak-{{ .Chart.Version }}
{{- end }}
