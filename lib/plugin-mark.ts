// The mark by which an executable in the runtime's CNI folder is recognised as ours. Every build contains this text, because the
// executable prints it when a person runs it. Older agents look for it in newer executables, so it must never change.

export const PLUGIN_MARK = ' plugin (weft)';
