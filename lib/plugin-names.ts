// The names under which the CNI executable lies in the runtime’s folder: it does what its name says.

/** Every name our executable answers to. */
export const PLUGIN_NAMES = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'] as const;
export type PluginName = (typeof PLUGIN_NAMES)[number];
