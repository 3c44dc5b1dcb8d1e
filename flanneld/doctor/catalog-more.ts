// The findings that only `doctor path` and `preflight` report; a part of the catalog.

import type { CatalogEntry } from './catalog-entry.ts';

export const PATH_CATALOG = {
  'address-unused': {
    severity: 'error',
    symptom: 'one address of the pod network does not answer',
    meaning: 'no pod or node has the address that was asked about',
    fix: 'run `kubectl get pods -A -o wide`, which shows the pod’s present address',
  },
  'service-without-pods': {
    severity: 'error',
    symptom: 'a Service refuses connections',
    meaning: 'kube-proxy knows no ready pod of the Service, so that it refuses packets to the Service',
    fix: 'run `kubectl get endpointslices -A`, and find out why the pods of the Service are not ready',
  },
  'connection-stale': {
    severity: 'warning',
    symptom: 'a pod keeps sending to a pod that is gone, most often DNS over UDP',
    meaning: 'the kernel still tracks the connection, and sends its packets to the pod that is gone',
    fix: 'run `conntrack -D -s FROM -d TO`',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;

export const PREFLIGHT_CATALOG = {
  'kernel-feature-missing': {
    severity: 'error',
    symptom: 'the agent does not become ready on this node, or pods do not start',
    meaning: 'the kernel lacks something that Weft uses',
    fix: 'load the module, or use a kernel that has it; the finding says what Weft does without it',
  },
  'firewall-program-missing': {
    severity: 'error',
    symptom: 'the agent does not become ready: "nft: ENOENT"',
    meaning: 'the program with which the agent writes its rules is not installed',
    fix: 'install nftables, or set `"EnableNFTables": false` and install iptables; Weft’s image has both',
  },
  'other-cni': {
    severity: 'warning',
    symptom: 'pods have addresses outside the pod network, or lose connections after an installation',
    meaning: 'this node has devices, programs or configurations of another CNI',
    fix: 'remove the other CNI before Weft is installed',
  },
  'flannel-here': {
    severity: 'info',
    symptom: 'none; this is for information',
    meaning: 'flannel is, or was, on this node, and Weft takes its place',
    fix: 'replace flannel one node at a time, as manifests/README.md says',
  },
  'pod-cidr-unusable': {
    severity: 'error',
    symptom: 'the agent waits for a podCIDR, or no node reaches the pods of one node',
    meaning: 'the Node has no podCIDR, or one outside the pod network',
    fix: 'start kube-controller-manager with `--allocate-node-cidrs` and with the `Network` of net-conf.json as `--cluster-cidr`',
  },
  'network-manager-meddles': {
    severity: 'warning',
    symptom: 'connections between nodes break when the host’s network is configured anew',
    meaning: 'NetworkManager or systemd-networkd may change devices and routes of the pod network',
    fix: 'tell that program not to manage flannel.*, cni0 and veth*',
  },
  'firewalld-active': {
    severity: 'warning',
    symptom: 'pods reach no address, or other nodes do not reach them',
    meaning: 'firewalld refuses the packets of pods and of the tunnel, because no rule of it accepts them',
    fix: 'put cni0 and flannel.1 into the zone trusted, and open the UDP port of the tunnel',
  },
  'health-port-taken': {
    severity: 'error',
    symptom: 'the agent ends at once: "listen on 127.0.0.1:8081: EADDRINUSE"',
    meaning: 'another program listens on the port of the agent’s probes',
    fix: 'give `--healthz-port` and both probes of the DaemonSet another port',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;
