// Single keys, and the dialog that lists them. They can be switched off (WCAG 2.1.4) and never act while somebody types.
const STORED = "secondread.single-keys";

export const keysOn = () => localStorage.getItem(STORED) !== "off";

const isTyping = (target) =>
  target.closest("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]") !== null;

/** Calls `actions[key]` for a key that was pressed by itself; one that returns false leaves it to the browser. */
export function onKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const action = actions[event.key];
    if (!action || (event.key.length === 1 && !keysOn())) return;
    if (action(event) !== false) event.preventDefault();
  });
}

export function tell(text) {
  const told = document.getElementById("told");
  told.textContent = "";
  requestAnimationFrame(() => { told.textContent = text; });
}

const help = document.getElementById("help");
if (help) {
  const box = document.getElementById("single-keys");
  box.checked = keysOn();
  box.addEventListener("change", () => localStorage.setItem(STORED, box.checked ? "on" : "off"));
  onKeys({ "?": () => help.showModal() });
  for (const button of document.querySelectorAll("[data-opens=help]")) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }
}
