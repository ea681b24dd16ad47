{{/*
The pod of every service of ours. Takes a dict:
  root, component, pool (workers), cfg (its values), role (of Redis), args (list), port (of the probes),
  portName, grace (seconds), affinity, env (list of lines as text), preStop (seconds)
*/}}
{{- define "alsek.pod" -}}
{{- $root := .root -}}
{{- $cfg := .cfg -}}
{{- $values := $root.Values -}}
metadata:
  labels: {{- include "alsek.labels" . | nindent 4 }}
    {{- with $cfg.podLabels }}{{ toYaml . | nindent 4 }}{{- end }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/config.yaml") $root | sha256sum }}
    checksum/secret: {{ include "alsek.redis.secretChecksum" $root }}
    {{- with $cfg.podAnnotations }}{{ toYaml . | nindent 4 }}{{- end }}
spec:
  serviceAccountName: {{ include "alsek.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  securityContext: {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cfg.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $cfg.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $cfg.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cfg.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cfg.affinity | default .affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cfg.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "alsek.selector" $ | fromYaml))) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- if or $values.preflight.enabled $cfg.firstKey $cfg.initContainers }}
  initContainers:
    {{- if $values.preflight.enabled }}
    - name: doctor
      # 1 is advice; 2 means that nothing works, or that messages are in danger.
      command: [sh, -c, 'alsek doctor "$@" || test $? -lt 2', doctor]
      {{- /* Set, not merged: an empty list would give way to the arguments of the service. */}}
      {{- include "alsek.container" (set (merge (dict) .) "args" $values.preflight.args) | nindent 6 }}
      resources:
        requests: {cpu: 20m, memory: 64Mi}
        limits: {memory: 256Mi}
    {{- end }}
    {{- with $cfg.firstKey }}
    - name: first-key
      {{- $mount := dict "name" "first-key" "mountPath" "/etc/alsek/first-key" "readOnly" true }}
      {{- $own := merge (dict "volumeMounts" (append $cfg.volumeMounts $mount)) $cfg }}
      {{- include "alsek.container" (merge (dict "args" .args "cfg" $own) $) | nindent 6 }}
      resources:
        requests: {cpu: 20m, memory: 64Mi}
        limits: {memory: 256Mi}
    {{- end }}
    {{- with $cfg.initContainers }}{{ tpl (toYaml .) $root | nindent 4 }}{{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      {{- include "alsek.container" . | nindent 6 }}
      ports:
        - {name: {{ .portName }}, containerPort: {{ .port }}, protocol: TCP}
      startupProbe:
        httpGet: {path: /startupz, port: {{ .portName }}}
        periodSeconds: 2
        timeoutSeconds: {{ $values.probes.timeout }}
        failureThreshold: {{ max 1 (div (int $values.probes.startup) 2) }}
      livenessProbe:
        httpGet: {path: /livez, port: {{ .portName }}}
        periodSeconds: {{ $values.probes.period }}
        timeoutSeconds: {{ $values.probes.timeout }}
        failureThreshold: {{ $values.probes.livenessFailures }}
      readinessProbe:
        httpGet: {path: /readyz, port: {{ .portName }}}
        periodSeconds: {{ $values.probes.period }}
        timeoutSeconds: {{ $values.probes.timeout }}
      {{- if .preStop }}
      # By Python, for there may be no shell; it says nothing and sleeps.
      lifecycle:
        preStop:
          exec: {command: [python, -c, "import time; time.sleep({{ .preStop }})"]}
      {{- end }}
      resources: {{- toYaml $cfg.resources | nindent 8 }}
    {{- with $cfg.sidecars }}{{ tpl (toYaml .) $root | nindent 4 }}{{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- include "alsek.redis.volumes" . | nindent 4 }}
    {{- with $cfg.volumes }}{{ tpl (toYaml .) $root | nindent 4 }}{{- end }}
{{- end }}

{{/* What the service and its preflight share. */}}
{{- define "alsek.container" -}}
image: {{ include "alsek.image" (dict "root" .root "image" .cfg.image) }}
imagePullPolicy: {{ .cfg.image.pullPolicy }}
args: {{- toYaml .args | nindent 2 }}
securityContext: {{- toYaml .root.Values.securityContext | nindent 2 }}
envFrom:
  - configMapRef: {name: {{ include "alsek.fullname" .root }}}
  {{- with .cfg.envFrom }}{{ tpl (toYaml .) $.root | nindent 2 }}{{- end }}
env:
  {{- include "alsek.redis.env" . | nindent 2 }}
  {{- with .env }}{{ toYaml . | nindent 2 }}{{- end }}
  {{- with .cfg.env }}{{ tpl (toYaml .) $.root | nindent 2 }}{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- include "alsek.redis.mounts" . | nindent 2 }}
  {{- with .cfg.volumeMounts }}{{ toYaml . | nindent 2 }}{{- end }}
{{- end }}

{{/* A PodDisruptionBudget. Takes root, name, component, pool, pdb. */}}
{{- define "alsek.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "alsek.metadata" . | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .pdb.minAvailable) }}
  minAvailable: {{ .pdb.minAvailable }}
  {{- else }}
  maxUnavailable: {{ .pdb.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels: {{- include "alsek.selector" . | nindent 6 }}
{{- end }}
