// The part of the catalog of findings that only `doctor path` and `preflight` can find.

import type { CatalogEntry } from './catalog-entry.ts';

export const PATH_CATALOG = {
  'address-unused': {
    severity: 'error',
    symptom: 'one address of the pod network does not answer',
    meaning: 'no pod, or no node, has the address that was asked about',
    fix: '`kubectl get pods -A -o wide` shows the address the pod has now',
  },
  'service-without-pods': {
    severity: 'error',
    symptom: 'a Service refuses connections',
    meaning: 'kube-proxy has no ready pod for the Service and refuses packets to it',
    fix: '`kubectl get endpointslices -A`; see why the pods of the Service are not ready',
  },
  'connection-stale': {
    severity: 'warning',
    symptom: 'a pod keeps sending to a pod that is gone, most often DNS over UDP',
    meaning: 'the kernel remembers a connection and leads its packets where they went before',
    fix: '`conntrack -D -s FROM -d TO`',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;

export const PREFLIGHT_CATALOG = {
  'kernel-feature-missing': {
    severity: 'error',
    symptom: 'the agent does not become ready on this node, or pods do not start',
    meaning: 'the kernel lacks something that Weft uses',
    fix: 'load the module, or use a kernel that has it; the finding says what Weft does without',
  },
  'firewall-program-missing': {
    severity: 'error',
    symptom: 'the agent does not become ready: "nft: ENOENT"',
    meaning: 'the program by which the agent writes its rules is not there',
    fix: 'install nftables, or set `"EnableNFTables": false` and install iptables; the image of Weft has both',
  },
  'other-cni': {
    severity: 'warning',
    symptom: 'pods have addresses outside the pod network, or lose connections after an installation',
    meaning: 'devices, programs or configurations of another CNI are on this node',
    fix: 'remove the other CNI before Weft is installed',
  },
  'flannel-here': {
    severity: 'info',
    symptom: 'nothing: it is only worth knowing',
    meaning: 'flannel is, or was, on this node, and Weft takes its place',
    fix: 'replace it one node at a time, as manifests/README.md says',
  },
  'pod-cidr-unusable': {
    severity: 'error',
    symptom: 'the agent waits for a podCIDR, or pods of one node are out of reach',
    meaning: 'the Node has no podCIDR, or one outside the pod network',
    fix: 'kube-controller-manager: `--allocate-node-cidrs`, with `--cluster-cidr` as `Network`',
  },
  'network-manager-meddles': {
    severity: 'warning',
    symptom: 'connections between nodes break when the network is configured anew',
    meaning: 'NetworkManager or systemd-networkd may change devices and routes of the pod network',
    fix: 'tell it to leave flannel.*, cni0 and veth* alone',
  },
  'firewalld-active': {
    severity: 'warning',
    symptom: 'pods reach nothing, or are not reached from other nodes',
    meaning: 'firewalld refuses what it does not know: packets of pods and of the tunnel',
    fix: 'put cni0 and flannel.1 into the zone trusted, and open the UDP port of the tunnel',
  },
  'health-port-taken': {
    severity: 'error',
    symptom: 'the agent ends at once: "listen on 127.0.0.1:8081: EADDRINUSE"',
    meaning: 'another program listens on the port of the agent’s probes',
    fix: 'give `--healthz-port` and both probes of the DaemonSet another port',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;
