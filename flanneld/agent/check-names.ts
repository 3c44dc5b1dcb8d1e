// The names of the agent's own parts in /readyz?verbose, each a required check.

export const FIREWALL = 'firewall';
export const SUBNET_ENV = 'subnet.env';
export const CNI_FILES = 'CNI files';
