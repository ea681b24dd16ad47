{{/* One pool, its values over those of workerDefaults. Takes root and name; gives JSON. */}}
{{- define "alsek.pool" -}}
{{- $own := deepCopy (get .root.Values.workers .name | default dict) -}}
{{- $pool := mergeOverwrite (deepCopy .root.Values.workerDefaults) $own -}}
{{- /* A pool that chooses one side of its budget drops the other side of the default. */ -}}
{{- $budget := $own.pdb | default dict -}}
{{- if and (hasKey $budget "minAvailable") (not (hasKey $budget "maxUnavailable")) }}{{- $_ := set $pool.pdb "maxUnavailable" nil -}}{{- end -}}
{{- $pool | toJson -}}
{{- end }}

{{/* The arguments of a pool's command: exactly the options that were chosen. Gives JSON. */}}
{{- define "alsek.pool.args" -}}
{{- $command := get (dict "thread" "thread-pool" "process" "process-pool" "async" "async-pool" "mixed" "worker") .mechanism -}}
{{- $args := list $command .package -}}
{{- if .queues }}{{- $args = concat $args (list "--queues" (join "," .queues)) -}}{{- end -}}
{{- if .fair }}{{- $args = append $args "--fair" -}}{{- end -}}
{{- $args = concat $args (list "--drain-timeout" (toString .drainTimeout)) -}}
{{- if and .threads (has .mechanism (list "thread" "mixed")) }}{{- $args = concat $args (list "--n-threads" (toString .threads)) -}}{{- end -}}
{{- if .processes }}{{- $args = concat $args (list "--n-processes" (toString .processes)) -}}{{- end -}}
{{- if and .concurrency (has .mechanism (list "async" "mixed")) }}{{- $args = concat $args (list "--concurrency" (toString .concurrency)) -}}{{- end -}}
{{- concat $args .extraArgs | toJson -}}
{{- end }}
