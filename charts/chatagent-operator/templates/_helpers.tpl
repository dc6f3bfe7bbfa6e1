{{- define "chatagent-operator.name" -}}
{{- if contains "chatagent-operator" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-chatagent-operator" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "chatagent-operator.labels" -}}
app.kubernetes.io/name: chatagent-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "chatagent-operator.selector" -}}
app.kubernetes.io/name: chatagent-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "chatagent-operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
