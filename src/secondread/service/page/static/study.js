// A study's page: the viewer with its controls and keys, images one after another, what an image was compared with.
import { onKeys, tell } from "./keys.js";
import { Film, values } from "./film.js";
import { Volume, hasWebgl } from "./volume.js";

const viewer = document.getElementById("viewer");
const controls = document.getElementById("controls");
const stage = document.getElementById("stage");
const canvas = document.getElementById("canvas");
const told = document.getElementById("viewer-told");
const address = `/studies/${viewer.dataset.study}/images/${viewer.dataset.key}`;
const say = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 4 });
const field = (name) => controls.elements[name];
let shown = null, opacityBefore = 50;

async function bytes(path) {
  const answer = await fetch(`${address}${path}`);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.arrayBuffer();
}

function show() {
  const { center, width } = shown.state;
  field("center").value = center;
  field("width").value = width;
  controls.querySelector("[for=center]").textContent = say.format(center);
  controls.querySelector("[for=width]").textContent = say.format(width);
  controls.querySelector("[for=opacity]").textContent = `${field("opacity").value} %`;
  if (shown instanceof Volume) {
    field("slice").max = shown.count - 1;
    field("slice").value = shown.slice;
    controls.querySelector("[for=slice]").textContent = `${shown.slice + 1} / ${shown.count}`;
  }
}

async function begin() {
  const facts = JSON.parse(new TextDecoder().decode(await bytes("")));
  if (facts.rank === 3 && !hasWebgl()) {
    told.textContent = viewer.dataset.sayWebgl;
    return;
  }
  told.textContent = `${viewer.dataset.sayLoading} …`;
  const spread = facts.high - facts.low || 1;
  Object.assign(field("center"), { min: facts.low, max: facts.high });
  Object.assign(field("width"), { min: spread / 1000, max: 2 * spread });
  canvas.hidden = false;
  if (facts.rank === 3) {
    shown = await Volume.open(canvas, facts, address, () => shown && show());
  } else {
    const [pixels, map] = await Promise.all([bytes("/pixels"), facts.map ? bytes("/map") : null]);
    shown = new Film(canvas, facts, values(facts.type, pixels), map && new Float32Array(map));
  }
  document.getElementById("fallback").hidden = true;
  controls.hidden = false;
  for (const one of controls.querySelectorAll(".of-map")) one.hidden = !facts.map;
  for (const one of controls.querySelectorAll(".of-volume")) one.hidden = facts.rank !== 3;
  for (const one of controls.querySelectorAll(".of-film")) one.hidden = facts.rank === 3;
  viewer.dataset.ready = facts.rank === 3 ? "volume" : "film";
  told.textContent = "";
  show();
}

const act = {
  invert() { field("invert").setAttribute("aria-pressed", String(shown.invert())); },
  larger: () => shown.zoom(1.25),
  smaller: () => shown.zoom(0.8),
  reset() { shown.reset(); field("invert").setAttribute("aria-pressed", "false"); show(); },
  map() {
    const now = Number(field("opacity").value);
    if (now) opacityBefore = now;
    field("opacity").value = now ? 0 : opacityBefore;
    shown.setOpacity(Number(field("opacity").value) / 100);
    show();
  },
};

controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("click", (event) => act[event.target.name]?.());
controls.addEventListener("input", (event) => {
  const { name, value } = event.target;
  if (name === "center" || name === "width") shown.window(Number(field("center").value), Number(field("width").value));
  if (name === "opacity") shown.setOpacity(Number(value) / 100);
  if (name === "slice") shown.slice = Number(value);
  if (name === "plane") shown.setPlane(value);
  show();
});

stage.addEventListener("wheel", (event) => {
  if (!shown || !(stage.matches(":focus-within") || stage.matches(":hover"))) return;
  event.preventDefault();
  event.stopPropagation();
  shown.wheel(event);
  show();
}, { passive: false, capture: true });

let dragged = null;
stage.addEventListener("pointerdown", (event) => {
  if (!(shown instanceof Film)) return;
  dragged = { x: event.clientX, y: event.clientY, moves: event.shiftKey || event.button === 1 };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const x = event.clientX - dragged.x, y = event.clientY - dragged.y;
  Object.assign(dragged, { x: event.clientX, y: event.clientY });
  if (dragged.moves) return shown.move(x, y);
  const step = (shown.facts.high - shown.facts.low || 1) / 500;
  shown.window(shown.state.center + y * step, Math.max(step / 2, shown.state.width + x * step));
  show();
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { dragged = null; });

function neighbour(by) {
  const links = [...document.querySelectorAll("a[data-image]")];
  const at = links.findIndex((link) => link.dataset.image === viewer.dataset.key);
  links[at + by]?.click();
}

function verdict(name) {
  document.querySelector(`#verdict button[value=${name}]`)?.click();
}

const onStage = (move) => (document.activeElement === stage && shown ? move() : false);
const arrow = (x, y) => () => onStage(() => { shown.arrow(x, y); show(); });
onKeys({
  u: () => document.getElementById("back").click(),
  n: () => neighbour(1),
  p: () => neighbour(-1),
  a: () => verdict("agree"),
  d: () => verdict("disagree"),
  m: () => shown && act.map(),
  i: () => shown && act.invert(),
  "+": () => onStage(act.larger),
  "-": () => onStage(act.smaller),
  0: () => onStage(act.reset),
  ArrowLeft: arrow(-1, 0), ArrowRight: arrow(1, 0), ArrowUp: arrow(0, -1), ArrowDown: arrow(0, 1),
});

const back = sessionStorage.getItem("secondread.list");
if (back) document.getElementById("back").href = `/studies${back}`;

const compare = document.getElementById("compare");
compare?.addEventListener("click", async (event) => {
  event.preventDefault();
  const answer = await fetch(compare.href);
  if (!answer.ok) return tell(viewer.dataset.sayFailed);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("compared").replaceChildren(...page.getElementById("neighbours").children);
  compare.parentElement.hidden = true;
});

begin().catch(() => { canvas.hidden = true; document.getElementById("fallback").hidden = false; told.textContent = viewer.dataset.sayFailed; });
