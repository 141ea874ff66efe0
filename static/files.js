/**
 * Text files that go along with a message: read from bytes, written into the message, and found in it again.
 *
 * A message with files is its words, and after them, for each file, a line `File: name` and a fenced block. That is
 * all that a model, another client and the history see of them. Knows nothing of the document.
 *
 * @typedef {{name: string, text: string}} TextFile
 */
export const MOST_FILES = 8;
export const LONG_PASTE = 4_000; // characters from which on a pasted text becomes a file

const LONGEST_NAME = 80;
const LARGEST_FILE = 1_000_000; // bytes that are read at all
const BLOCK = /File: ([^\n]{1,120})\n(`{3,})[^\n`]*\n([^]*?)\n\2(?:\n\n(?=File: )|$)/y;
const NOT_TEXT = /[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]/; // control characters that no text has
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu; // what would reorder or hide a name's letters
const LANGUAGES = {
  bash: "bash", cc: "cpp", cjs: "javascript", cs: "csharp", h: "c", hpp: "cpp", htm: "html", js: "javascript",
  kt: "kotlin", log: "", md: "markdown", mjs: "javascript", ps1: "powershell", py: "python", rb: "ruby", rs: "rust",
  sh: "bash", text: "", ts: "typescript", txt: "", yml: "yaml",
}; // prettier-ignore

/** A file that cannot go along; the message is a sentence that says why. */
export class FileProblem extends Error {}

/** @param {File} file @returns {Promise<TextFile>} @throws {FileProblem} */
export async function readFile(file) {
  const name = safeName(file.name);
  if (file.size > LARGEST_FILE) throw new FileProblem(`${name} is too large to go along with a message.`);
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new FileProblem(`${name} cannot be read. A folder has to be attached file by file.`);
  }
  return { name, text: decode(name, bytes) };
}

/** What the bytes say, in UTF-8 or, where they begin with its mark, in UTF-16. @throws {FileProblem} */
export function decode(name, bytes) {
  let text;
  try {
    text = new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
  } catch {
    throw notText(name);
  }
  if (NOT_TEXT.test(text)) throw notText(name);
  if (!text.trim()) throw new FileProblem(`${name} is empty.`);
  return text.replace(/\r\n?/g, "\n");
}

/** The message that holds these words and files. @param {readonly TextFile[]} files */
export function withFiles(words, files) {
  return [words.trim(), ...files.map(block)].filter(Boolean).join("\n\n");
}

/** The words and the files of a message. @returns {{words: string, files: TextFile[]}} */
export function partsOf(message) {
  for (let start = nextFile(message, 0); start >= 0; start = nextFile(message, start + 1)) {
    const files = filesFrom(message, start);
    if (files) return { words: message.slice(0, start).trimEnd(), files };
  }
  return { words: message, files: [] };
}

/** @param {TextFile} file the language that its name tells; may be empty */
export function languageOf({ name }) {
  const ending = /\.([a-z0-9+#]{1,12})$/i.exec(name)?.[1].toLowerCase() ?? "";
  return LANGUAGES[ending] ?? ending;
}

/** About how many tokens a text takes: four bytes each. */
export function tokensOf(text) {
  return Math.ceil(bytesOf(text) / 4);
}

export function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

/** A name that none of the files has: "notes.md", or "notes (2).md". @param {readonly TextFile[]} files */
export function freeName(name, files) {
  const taken = new Set(files.map((file) => file.name));
  const [, stem, ending] = /^(.*?)(\.[^.]*)?$/s.exec(name);
  let free = name;
  for (let number = 2; taken.has(free); number += 1) free = `${stem} (${number})${ending ?? ""}`;
  return free;
}

/** A fence is longer than any run of its character in what it holds. */
function block(file) {
  const longest = Math.max(2, ...Array.from(file.text.matchAll(/`+/g), ([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `File: ${file.name}\n${fence}${languageOf(file)}\n${file.text}\n${fence}`;
}

/** Where the next line that may begin a file is; -1 for nowhere. */
function nextFile(message, from) {
  if (from === 0 && message.startsWith("File: ")) return 0;
  const found = message.indexOf("\n\nFile: ", Math.max(0, from - 1));
  return found < 0 ? -1 : found + 2;
}

/** The files of a message that is nothing but files from there on; else null. */
function filesFrom(message, start) {
  const files = [];
  BLOCK.lastIndex = start;
  while (BLOCK.lastIndex < message.length) {
    const found = BLOCK.exec(message);
    if (!found) return null;
    files.push({ name: found[1], text: found[3] });
  }
  return files;
}

function encodingOf([first, second]) {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  return first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
}

function safeName(name) {
  const plain = name.replace(UNSEEN, "").trim() || "file.txt";
  const ending = /\.[^.]{1,12}$/.exec(plain)?.[0] ?? "";
  return plain.length <= LONGEST_NAME ? plain : `${plain.slice(0, LONGEST_NAME - ending.length - 1)}…${ending}`;
}

function notText(name) {
  return new FileProblem(`${name} is not a text file. Text, code and Markdown can be attached, in UTF-8 or UTF-16.`);
}
