{{- /*
What the schema cannot say of values. The processes refuse the same when they start, but then `helm install` is over and
pods crash; here it is said before anything is changed, all of it at once, with the value's name and what to write.
*/ -}}

{{- /* Seconds of a duration such as 1h30m. */ -}}
{{- define "ringfence.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | default "0" | int64 -}}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | int64 -}}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | int64 -}}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds -}}
{{- end }}

{{- /* Takes (list NAME VALUE LEAST MOST), the last two as durations. No value is the default. */ -}}
{{- define "ringfence.problems.duration" -}}
{{- if index . 1 }}
{{- $seconds := include "ringfence.seconds" (index . 1) | int64 -}}
{{- $least := include "ringfence.seconds" (index . 2) | int64 -}}
{{- $most := include "ringfence.seconds" (index . 3) | int64 -}}
{{- if or (lt $seconds $least) (gt $seconds $most) }}
{{ index . 0 }}: {{ index . 1 }} is out of range (write {{ index . 2 }} to {{ index . 3 }})
{{- end }}
{{- end }}
{{- end }}

{{- /* IPv4 with the host's bits set, or a number beyond 255; IPv6 is left to the processes. Takes (list NAME CIDRS). */ -}}
{{- define "ringfence.problems.cidrs" -}}
{{- $name := index . 0 }}
{{- range $index, $cidr := index . 1 }}
{{- if contains "." $cidr }}
{{- if not (contains ":" $cidr) }}
{{- $parts := splitList "/" $cidr }}
{{- $size := int64 1 }}
{{- range until (sub 32 (index $parts 1 | int) | int) }}{{ $size = mul $size 2 }}{{ end }}
{{- $number := int64 0 }}
{{- $large := false }}
{{- range splitList "." (index $parts 0) }}
{{- if gt (int .) 255 }}{{ $large = true }}{{ end }}
{{- $number = add (mul $number 256) (int64 .) }}
{{- end }}
{{- if or $large (ne (mod $number $size) 0) }}
{{ $name }}[{{ $index }}]: {{ $cidr }} is no CIDR (write it as 10.244.0.0/16, with the host's bits zero)
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ringfence.problems.proxy" -}}
{{- with .image }}
{{- if not (or .tag .digest) }}
proxy.image: neither tag nor digest says which Envoy (write tag: distroless-v1.40.0, or a later one)
{{- end }}
{{- with regexFind "[0-9]+[.][0-9]+[.][0-9]+" (.tag | default "") }}
{{- if semverCompare "<1.40.0" . }}
proxy.image.tag: Envoy {{ . }} can be passed by (write 1.40.0 or later)
{{- end }}
{{- end }}
{{- end }}
{{- include "ringfence.problems.duration" (list "proxy.drain" .drain "1s" "10m") }}
{{- range $part, $quantities := .resources }}
{{- range $name, $quantity := $quantities }}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$" (toJson $quantity | trimAll "\"")) }}
proxy.resources.{{ $part }}.{{ $name }}: {{ $quantity }} is no quantity (write it as 20m, 2 or 40Mi)
{{- end }}
{{- end }}
{{- end }}
{{- $address := .tracing.address | default "" }}
{{- $name := "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?" }}
{{- $service := regexMatch (printf "^%s[.]%s[.]svc([.][a-z0-9.-]{1,100})?:[0-9]{1,5}$" $name $name) $address }}
{{- $ip := regexMatch "^([0-9]{1,3}([.][0-9]{1,3}){3}|\\[[0-9a-f:.]+\\]):[0-9]{1,5}$" $address }}
{{- if and $address (not $service) (not $ip) }}
proxy.tracing.address: {{ $address }} is no address of a Service inside the cluster (write it as collector.observability.svc:4317, or an IP address with its port)
{{- end }}
{{- if and $service (not .tracing.podLabels) }}
proxy.tracing.podLabels: is empty (write the labels of the pods behind {{ $address }}, to which the way is opened)
{{- end }}
{{- if and $ip .tracing.podLabels }}
proxy.tracing.podLabels: means nothing for an IP address (leave it out)
{{- end }}
{{- end }}

{{- define "ringfence.problems.signatures" -}}
{{- with .trustedRoot | trim }}
{{- if not (hasPrefix "application/vnd.dev.sigstore.trustedroot" (get (fromJson .) "mediaType" | toString)) }}
signatures.trustedRoot: is no Sigstore trusted root (give the JSON of `cosign trusted-root create`, by --set-file)
{{- end }}
{{- end }}
{{- with .ca | trim }}
{{- if not (contains "-----BEGIN CERTIFICATE-----" .) }}
signatures.ca: holds no certificate (give certificates in PEM, by --set-file)
{{- end }}
{{- end }}
{{- end }}

{{- /* All that is wrong, a line each; "" for nothing. */ -}}
{{- define "ringfence.problems" -}}
{{- include "ringfence.problems.duration" (list "ca.ttl" .Values.ca.ttl "168h" "87660h") }}
{{- include "ringfence.problems.duration" (list "ca.propagation" .Values.ca.propagation "0s" "1h") }}
{{- include "ringfence.problems.duration" (list "ca.reissueWithin" .Values.ca.reissueWithin "0s" "24h") }}
{{- include "ringfence.problems.duration" (list "ca.maxTTL" .Values.ca.maxTTL "10m" "24h") }}
{{- include "ringfence.problems.cidrs" (list "network.podCIDRs" .Values.network.podCIDRs) }}
{{- include "ringfence.problems.cidrs" (list "network.hostOpenCIDRs" .Values.network.hostOpenCIDRs) }}
{{- include "ringfence.problems.cidrs" (list "network.hostClosedCIDRs" .Values.network.hostClosedCIDRs) }}
{{- range $index, $service := .Values.network.openServices }}
{{- include "ringfence.problems.cidrs" (list (printf "network.openServices[%d].addresses" $index) ($service.addresses | default list)) }}
{{- end }}
{{- include "ringfence.problems.proxy" .Values.proxy }}
{{- include "ringfence.problems.signatures" .Values.signatures }}
{{- end }}
