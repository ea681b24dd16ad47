{{/* How the services reach Redis: an address without a secret in it, and the password as a file. */}}

{{- define "alsek.valkey.fullname" -}}
{{ include "alsek.fullname" . }}-valkey
{{- end }}

{{/* User and key of the password for one role. Takes root and role. */}}
{{- define "alsek.redis.user" -}}
{{- with get .root.Values.redis.users .role -}}{{ .username }}{{- else -}}{{ .root.Values.redis.username }}{{- end -}}
{{- end }}

{{- define "alsek.redis.passwordKey" -}}
{{- with get .root.Values.redis.users .role -}}{{ .passwordKey }}{{- else -}}{{ .root.Values.redis.passwordKey }}{{- end -}}
{{- end }}

{{- define "alsek.redis.secret" -}}
{{- if .Values.valkey.enabled -}}
{{ .Values.valkey.existingSecret | default (include "alsek.valkey.fullname" .) }}
{{- else -}}
{{ .Values.redis.existingSecret }}
{{- end -}}
{{- end }}

{{- define "alsek.redis.url" -}}
{{- $redis := .root.Values.redis -}}
{{- $tls := ternary "rediss" "redis" $redis.tls.enabled -}}
{{- if .root.Values.valkey.enabled -}}
redis://{{ include "alsek.valkey.fullname" .root }}:6379/0
{{- else if $redis.url -}}
{{ $redis.url }}
{{- else if eq $redis.mode "sentinel" -}}
{{ $tls }}+sentinel://{{ join "," $redis.hosts }}/{{ $redis.sentinelName }}?db={{ int $redis.database }}
{{- else if eq $redis.mode "cluster" -}}
{{ $tls }}+cluster://{{ join "," $redis.hosts }}
{{- else -}}
{{ $tls }}://{{ first $redis.hosts }}/{{ int $redis.database }}
{{- end -}}
{{- end }}

{{- define "alsek.redis.tls" -}}
{{- if and .Values.redis.tls.enabled (not .Values.valkey.enabled) }}true{{ end -}}
{{- end }}

{{- define "alsek.redis.env" -}}
- name: ALSEK_REDIS_URL
  value: {{ include "alsek.redis.url" . | quote }}
{{- with include "alsek.redis.user" . }}
- name: ALSEK_REDIS_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if include "alsek.redis.secret" .root }}
- name: ALSEK_REDIS_PASSWORD_FILE
  value: /etc/alsek/redis/password
{{- if and .root.Values.redis.sentinelPasswordKey (not .root.Values.valkey.enabled) }}
- name: ALSEK_REDIS_SENTINEL_PASSWORD_FILE
  value: /etc/alsek/redis/sentinel-password
{{- end }}
{{- end }}
{{- if include "alsek.redis.tls" .root }}
{{- with .root.Values.redis.tls.caSecret }}
- name: ALSEK_REDIS_CA_FILE
  value: /etc/alsek/redis-ca/{{ $.root.Values.redis.tls.caKey }}
{{- end }}
{{- if .root.Values.redis.tls.clientSecret }}
- name: ALSEK_REDIS_CERT_FILE
  value: /etc/alsek/redis-client/tls.crt
- name: ALSEK_REDIS_KEY_FILE
  value: /etc/alsek/redis-client/tls.key
{{- end }}
{{- end }}
{{- end }}

{{- define "alsek.redis.mounts" -}}
{{- if include "alsek.redis.secret" .root }}
- {name: redis-password, mountPath: /etc/alsek/redis, readOnly: true}
{{- end }}
{{- if include "alsek.redis.tls" .root }}
{{- if .root.Values.redis.tls.caSecret }}
- {name: redis-ca, mountPath: /etc/alsek/redis-ca, readOnly: true}
{{- end }}
{{- if .root.Values.redis.tls.clientSecret }}
- {name: redis-client, mountPath: /etc/alsek/redis-client, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "alsek.redis.volumes" -}}
{{- $secret := include "alsek.redis.secret" .root }}
{{- if $secret }}
{{- $key := ternary "redis-password" (include "alsek.redis.passwordKey" .) .root.Values.valkey.enabled }}
- name: redis-password
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
    items:
      - {key: {{ $key }}, path: password}
      {{- if and .root.Values.redis.sentinelPasswordKey (not .root.Values.valkey.enabled) }}
      - {key: {{ .root.Values.redis.sentinelPasswordKey }}, path: sentinel-password}
      {{- end }}
{{- end }}
{{- if include "alsek.redis.tls" .root }}
{{- with .root.Values.redis.tls.caSecret }}
- name: redis-ca
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.redis.tls.clientSecret }}
- name: redis-client
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{/* Changes when a secret that is not ours changes, seen at the next upgrade: files change by themselves, but slowly. */}}
{{- define "alsek.redis.secretChecksum" -}}
{{- $names := list (include "alsek.redis.secret" .) .Values.redis.tls.caSecret .Values.redis.tls.clientSecret -}}
{{- $data := list -}}
{{- range compact $names -}}
{{- $found := lookup "v1" "Secret" $.Release.Namespace . -}}
{{- $data = append $data (dict "name" . "data" (get ($found | default dict) "data")) -}}
{{- end -}}
{{- $data | toJson | sha256sum -}}
{{- end }}
