// The names under which the CNI executable is installed in the runtime’s folder. It acts as the plugin by whose name it is called.

/** Every name under which our executable can be called. */
export const PLUGIN_NAMES = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'] as const;
export type PluginName = (typeof PLUGIN_NAMES)[number];
