// How an executable in the runtime's CNI folder is known as ours: this text is in every build, since it is part of what
// the executable says about itself when a person runs it. Older agents look for it in newer executables: never change it.

export const PLUGIN_MARK = ' plugin (weft)';
