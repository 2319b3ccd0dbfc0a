{{- define "headwarden.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "headwarden.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "headwarden.labels" -}}
{{ include "headwarden.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* An image, by digest where there is one. Takes a list: the image, and the tag where it has none. */}}
{{- define "headwarden.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end }}

{{- define "headwarden.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Headwarden's configuration: the chart's, and over it the operator's. */}}
{{- define "headwarden.config" -}}
server_url: {{ .Values.serverUrl }}
listen:
{{- if .Values.tlsSecret }}
  - address: "0.0.0.0:8443"
    tls:
      cert_path: /run/headwarden/tls/tls.crt
      key_path: /run/headwarden/tls/tls.key
{{- end }}
  - address: "0.0.0.0:8000"
admin:
  address: "0.0.0.0:9181"
trusted_proxies: {{ .Values.trustedProxies | toJson }}
headscale:
  url: http://127.0.0.1:8080
  sign_in: issuer
  issuer:
    url: http://127.0.0.1:8181
    node_expiry: 90d
oidc:
  only_start_if_oidc_is_available: false
  issuer: {{ .Values.oidc.issuer | quote }}
  client_id: {{ .Values.oidc.clientId | quote }}
  allowed_groups: {{ .Values.oidc.allowedGroups | toJson }}
shutdown:
  lead: {{ .Values.shutdown.leadSeconds }}s
  grace: {{ .Values.shutdown.graceSeconds }}s
log:
  format: json
{{- end }}

{{/* Headscale's. Its issuer is the sidecar, on loopback. */}}
{{- define "headwarden.headscale" -}}
server_url: {{ .Values.serverUrl }}
listen_addr: 127.0.0.1:8080
metrics_listen_addr: 127.0.0.1:9090
grpc_listen_addr: 127.0.0.1:50443
unix_socket: /var/run/headscale/headscale.sock
trusted_proxies: [127.0.0.1/32]
noise:
  private_key_path: /var/lib/headscale/noise_private.key
prefixes:
  v4: 100.64.0.0/10
  v6: fd7a:115c:a1e0::/48
database:
  type: sqlite
  sqlite:
    path: /var/lib/headscale/db.sqlite
    write_ahead_log: true
dns:
  magic_dns: true
  base_domain: tailnet.internal
  override_local_dns: false
derp:
  urls: [https://controlplane.tailscale.com/derpmap/default]
oidc:
  only_start_if_oidc_is_available: true
  issuer: "http://127.0.0.1:8181"
  client_id: headscale
  scope: [openid, profile, email]
  pkce:
    enabled: true
    method: S256
  use_expiry_from_token: true
{{- end }}
