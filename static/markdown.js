/**
 * Markdown of a model to safe nodes.
 *
 * Owns what markdown may become: the dialect, the addresses a link may have, the elements and attributes let through.
 * What it returns is safe to put in the page. Knows nothing of messages, streams or views.
 */
import DOMPurify from "./vendor/dompurify/purify.es.mjs";
import markdownIt from "./vendor/markdown-it/markdown-it.esm.min.mjs";
import remend from "./vendor/remend/remend.js";

const DEEPEST_NESTING = 20;
const LONGEST_REPAIR = 4_000; // characters; longer unfinished text is shown without guessing what will close it

const ALLOWED = {
  ALLOWED_TAGS: [
    ..."p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote strong em s code pre a span".split(" "),
    ..."table thead tbody tr th td".split(" "),
  ],
  ALLOWED_ATTR: ["href", "title", "class", "start"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};
const COLOURED_CODE = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

const md = markdownIt({ html: false, linkify: true, maxNesting: DEEPEST_NESTING });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
md.validateLink = (url) => /^(?:https?:\/\/|mailto:)/i.test(url.trim());

// A picture would be fetched from wherever the model says: it becomes a link that the reader may follow.
md.renderer.rules.image = (tokens, index) => {
  const token = tokens[index];
  const text = md.utils.escapeHtml(token.content || "Picture");
  return `<a href="${md.utils.escapeHtml(token.attrGet("src") ?? "")}">${text}</a>`;
};

// markdown-it aligns cells with a style attribute, which the page's policy forbids.
for (const rule of ["th_open", "td_open"]) {
  md.renderer.rules[rule] = (tokens, index, options, env, self) => {
    const align = /text-align:(left|center|right)/.exec(tokens[index].attrGet("style") ?? "");
    tokens[index].attrs = align ? [["class", `align-${align[1]}`]] : null;
    return self.renderToken(tokens, index, options);
  };
}

/**
 * @param {string} text whole blocks of markdown
 * @param {object} env link definitions found so far, kept from one call to the next of the same document
 * @returns {DocumentFragment}
 */
export function renderMarkdown(text, env = {}) {
  const fragment = DOMPurify.sanitize(md.render(text, env), ALLOWED);
  fragment.querySelectorAll("a").forEach(secureLink);
  return fragment;
}

/** The same for text that is still being written: what it leaves open is closed for show. */
export function renderUnfinished(text, env = {}) {
  const repaired = text.length <= LONGEST_REPAIR ? remend(text, { linkMode: "text-only", images: false }) : text;
  return renderMarkdown(repaired, { references: { ...env.references } });
}

/**
 * How much of `text` is whole top-level blocks: all but the last, and no more than `most`.
 * @returns {{end: number, blocks: number}} characters, 0 when there is but one block; and how many blocks they are
 */
export function wholeBlocks(text, most) {
  const tokens = [];
  md.block.parse(text, md, {}, tokens);
  const lines = tokens.filter(({ level, map, nesting }) => level === 0 && map && nesting >= 0).map(({ map }) => map[0]);
  const blocks = Math.min(Math.max(lines.length - 1, 0), most);
  let end = 0;
  for (let passed = 0; passed < (blocks && lines[blocks]); passed += 1) end = text.indexOf("\n", end) + 1;
  return { end, blocks };
}

/** Nodes of a highlighter's markup, spans and their classes only. */
export function colouredCode(html) {
  return DOMPurify.sanitize(html, COLOURED_CODE);
}

/** @param {HTMLAnchorElement} link opens apart, tells nobody where the reader comes from, shows where it leads */
function secureLink(link) {
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  const host = link.host || link.pathname; // mailto: has no host; its path is the address
  if (!host || link.textContent.includes(host)) return;
  const shown = document.createElement("span");
  shown.className = "host";
  shown.textContent = ` (${host})`;
  link.append(shown);
}
