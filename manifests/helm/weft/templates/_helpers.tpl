{{- /* Names: our own, or flannel's where its chart is being replaced. */ -}}
{{- define "weft.name" -}}{{ .Values.replaceFlannel | ternary "flannel" "weft" }}{{- end -}}
{{- define "weft.daemonset" -}}{{ .Values.replaceFlannel | ternary "kube-flannel-ds" "weft" }}{{- end -}}
{{- define "weft.configmap" -}}{{ .Values.replaceFlannel | ternary "kube-flannel-cfg" "weft" }}{{- end -}}
{{- define "weft.container" -}}{{ .Values.replaceFlannel | ternary "kube-flannel" "flanneld" }}{{- end -}}

{{- define "weft.labels" -}}
app.kubernetes.io/name: weft
{{- if .Values.replaceFlannel }}
tier: node
app: flannel
k8s-app: flannel
{{- end }}
{{- end -}}

{{- define "weft.selector" -}}
{{- if .Values.replaceFlannel -}}
app: flannel
{{- else -}}
app.kubernetes.io/name: weft
{{- end }}
{{- end -}}

{{- /* --kube-annotation-prefix as it stands before every name, as the agent reads it. */ -}}
{{- define "weft.annotationPrefix" -}}
{{- $prefix := "flannel.alpha.coreos.com" -}}
{{- range .Values.flannel.args -}}
{{- if regexMatch "^--?kube-annotation-prefix=" . -}}
{{- $prefix = regexReplaceAll "^[^=]*=" . "" -}}
{{- end -}}
{{- end -}}
{{- if not (contains "/" $prefix) -}}
{{- $prefix = printf "%s/" $prefix -}}
{{- else if not (or (hasSuffix "/" $prefix) (hasSuffix "-" $prefix)) -}}
{{- $prefix = printf "%s-" $prefix -}}
{{- end -}}
{{- $prefix -}}
{{- end -}}

{{- /* Unset means nftables. */ -}}
{{- define "weft.usesIptables" -}}{{ eq (toString .Values.flannel.enableNFTables) "false" }}{{- end -}}

{{- define "weft.usesFastPath" -}}{{ not (has .Values.flannel.fastPath (list nil "off")) }}{{- end -}}

{{- /* net-conf.json, built as a value: nothing a user writes can break its syntax. */ -}}
{{- define "weft.netConf" -}}
{{- $backend := dict "Type" .Values.flannel.backend -}}
{{- $keys := dict "Port" "backendPort" "MTU" "mtu" "VNI" "vni" "GBP" "GBP" "DirectRouting" "directRouting" -}}
{{- range $key, $name := $keys -}}
{{- $value := index $.Values.flannel $name -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $backend $key (ternary $value (int $value) (kindIs "bool" $value)) -}}
{{- end -}}
{{- end -}}
{{- $conf := dict "Backend" $backend -}}
{{- if .Values.podCidr -}}
{{- $_ := set $conf "Network" .Values.podCidr -}}
{{- else -}}
{{- $_ := set $conf "EnableIPv4" false -}}
{{- end -}}
{{- if .Values.podCidrv6 -}}
{{- $_ := set $conf "EnableIPv6" true -}}
{{- $_ := set $conf "IPv6Network" .Values.podCidrv6 -}}
{{- end -}}
{{- if not (kindIs "invalid" .Values.flannel.enableNFTables) -}}
{{- $_ := set $conf "EnableNFTables" .Values.flannel.enableNFTables -}}
{{- end -}}
{{- toPrettyJson $conf -}}
{{- end -}}
