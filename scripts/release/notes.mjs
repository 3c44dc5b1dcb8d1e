// The notes of a release, from CHANGELOG.md.

/**
 * The text below `## VERSION`. With `unreleased`, the text below `## Unreleased` if that version has no heading yet. Throws an Error of one
 * line when there is none.
 */
export function releaseNotes(changelog, version, { unreleased = false } = {}) {
  const sections = changelog.split(/^## /m).slice(1);
  const find = (title) => sections.find((section) => section.split('\n')[0].split(' ')[0] === title);
  const found = (unreleased ? find('Unreleased') : undefined) ?? find(version);
  if (found === undefined) throw new Error(`release: CHANGELOG.md has no "## ${version}": give Unreleased that name`);
  const text = found.slice(found.indexOf('\n') + 1).trim();
  if (text === '') throw new Error(`release: CHANGELOG.md says nothing below "## ${version}"`);
  return `${joinLines(text)}\n`;
}

/** Joins the lines of an item, because GitHub's release pages keep line breaks. */
function joinLines(text) {
  return text.replaceAll(/\n {2,}(?=\S)/g, ' ');
}
