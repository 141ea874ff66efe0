/**
 * Dropping files on a part of the page: the sign that they may be dropped there, and that they may not elsewhere.
 */
let isGuarded = false;

/** @param {HTMLElement} target has the class `dropping` under a file @param {(files: File[]) => void} take */
export function attachDrop(target, take) {
  guard();
  const mark = (isOver) => target.classList.toggle("dropping", isOver);
  target.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    mark(true);
  });
  target.addEventListener("dragleave", ({ relatedTarget }) => target.contains(relatedTarget) || mark(false));
  addEventListener("dragover", (event) => target.contains(event.target) || mark(false));
  target.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(false);
    take([...event.dataTransfer.files]);
  });
}

/** Where nothing takes files, they are not taken: else the browser would open the file in place of the page. */
function guard() {
  if (isGuarded) return;
  isGuarded = true;
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  });
}

function holdsFiles({ dataTransfer }) {
  return dataTransfer.types.includes("Files");
}
