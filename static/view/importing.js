/**
 * Taking conversations in from files: chosen, or dropped on the sidebar.
 *
 * Owns the file picker and the sign that files may be dropped. Says how far it is and what came of it.
 *
 * @typedef {import("../history_api.js").HistoryApi} HistoryApi
 * @typedef {import("./toasts.js").Toasts} Toasts
 */
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

/** @param {(files: File[]) => void} take */
function attachDrop(target, take) {
  const holdsFiles = ({ dataTransfer }) => dataTransfer.types.includes("Files");
  const mark = (isOver) => target.classList.toggle("dropping", isOver);
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // or the browser opens the file in place of the page
    const isOver = target.contains(event.target);
    event.dataTransfer.dropEffect = isOver ? "copy" : "none";
    mark(isOver);
  });
  target.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || mark(false)); // out of the window
  target.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(false);
    take([...event.dataTransfer.files]);
  });
}
