/**
 * The page at /docs: shows the document at /openapi.json to people. Owns no words of its own about any request.
 */
import { byId, element } from "./view/elements.js";

const FORM = "application/x-www-form-urlencoded";

async function show() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`The description cannot be read: the server answers ${answer.status}.`);
  const api = await answer.json();
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const of = (tag) => operations.filter(({ operation }) => operation.tags[0] === tag.name);
  const groups = api.tags.filter((tag) => of(tag).length).map((tag) => group(tag, of(tag), api));
  byId("groups").replaceChildren(...groups);
}

function group(tag, operations, api) {
  const title = element("h2", { id: tag.name }, tag.name);
  const cards = operations.map((each) => card(each, api));
  return element("section", { class: "group" }, title, element("p", {}, ...words(tag.description)), ...cards);
}

function card({ method, path, operation }, api) {
  const summary = element(
    "summary",
    {},
    element("span", { class: "method" }, method),
    element("span", { class: "path" }, path),
    element("span", { class: "kind" }, operation.summary),
  );
  return element(
    "details",
    { class: "operation" },
    summary,
    element("p", {}, ...words(operation.description)),
    ...parameters(operation.parameters ?? []),
    ...asked(method, path, operation),
    ...told(operation.responses, api),
  );
}

function parameters(list) {
  if (!list.length) return [];
  const rows = list.map((each) => [each.name, each.in + (each.required ? ", required" : ""), each.description ?? ""]);
  return [element("h3", {}, "Parameters"), table(["name", "where", "meaning"], rows)];
}

/** What can be sent, as commands that can be run. */
function asked(method, path, operation) {
  const url = new URL(filled(path, operation.parameters ?? []).slice(1), new URL(".", location.href)).href;
  const plain = method === "GET" ? `curl ${quoted(url)}` : `curl -X ${method} ${quoted(url)}`;
  const command = method === "POST" ? `curl ${quoted(url)}` : plain; // which a body makes a POST
  const bodies = Object.entries(operation.requestBody?.content ?? {}).flatMap(([kind, content]) => {
    const named = Object.entries(content.examples ?? {}).map(([name, { value }]) => [name, JSON.stringify(value)]);
    if (kind === FORM) named.push(["a form", new URLSearchParams(content.example).toString()]);
    return named.map(([name, data]) => block(name, `${command} -d ${quoted(data)}`));
  });
  return [element("h3", {}, "Ask"), ...(bodies.length ? bodies : [block("", plain)])];
}

function told(responses, api) {
  const rows = Object.entries(responses).map(([status, { description }]) => [status, description]);
  const given = Object.entries(responses["200"]?.content ?? {}).map(([kind, content]) => [kind, readable(content, api)]);
  const examples = given.filter(([, text]) => text).map(([kind, text]) => block(kind, text));
  return [element("h3", {}, "Answers"), ...examples, table(["status", "meaning"], rows)];
}

function readable(content, api) {
  const name = content.schema?.$ref?.split("/").at(-1);
  const example = content.example ?? content.schema?.examples?.[0] ?? api.components.schemas[name]?.examples?.[0];
  return typeof example === "string" || example === undefined ? (example ?? "") : JSON.stringify(example, null, 2);
}

function block(title, text) {
  return element("div", {}, element("span", { class: "kind" }, title), element("pre", {}, element("code", {}, text)));
}

function table(heads, rows) {
  const line = (kind, cells) => element("tr", {}, ...cells.map((text) => element(kind, {}, ...words(text))));
  const body = element("tbody", {}, ...rows.map((cells) => line("td", cells)));
  return element("table", {}, element("thead", {}, line("th", heads)), body);
}

/** Text in which `such` words are code. */
function words(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

function filled(path, list) {
  return path.replace(/\{(\w+)\}/g, (_, name) => list.find((each) => each.name === name)?.example ?? name);
}

/** As a shell takes it for one word. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

show().catch((error) => {
  byId("problem").textContent = error.message;
  byId("problem").hidden = false;
});
