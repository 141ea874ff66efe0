/**
 * Taking conversations in from files: chosen, or dropped on the sidebar.
 *
 * Owns the file picker. Says how far it is and what came of it.
 *
 * @typedef {import("../history_api.js").HistoryApi} HistoryApi
 * @typedef {import("./toasts.js").Toasts} Toasts
 */
import { attachDrop } from "./dropping.js";
import { byId } from "./elements.js";
import { count, percent } from "./figures.js";

/**
 * @param {HTMLElement} target where files may be dropped
 * @param {HistoryApi} api
 * @param {Toasts} toasts
 * @returns {() => void} opens the file picker
 */
export function attachImport(target, api, toasts) {
  const picker = byId("import-files");
  const take = async (files) => {
    for (const file of files) await importFile(file, api, toasts);
  };
  picker.addEventListener("change", () => {
    take([...picker.files]);
    picker.value = ""; // the same file may be chosen again
  });
  attachDrop(target, take);
  return () => picker.click();
}

/** @param {import("../history_api.js").Imported} result */
export function resultWords({ imported, skipped, problems }) {
  const words = `${count(imported)} imported`;
  return skipped ? `${words}, ${count(skipped)} skipped: ${problems[0] ?? "already here."}` : `${words}.`;
}

async function importFile(file, api, toasts) {
  const toast = toasts.show(`Importing ${file.name}…`, { stays: true });
  const onProgress = (share) => toast.say(share < 1 ? `Sending ${file.name}, ${percent(share)}` : `Reading ${file.name}…`);
  try {
    const words = resultWords(await api.import(file, onProgress));
    toast.close();
    toasts.show(words);
  } catch (error) {
    toast.close();
    toasts.show(`${file.name} was not imported. ${error.message}`, { isBad: true });
  }
}
