import { onKeys, tell } from "./keys.js";
import { refresh } from "./refresh.js";

sessionStorage.setItem("secondread.list", location.search); // where a study's page leads back to

const list = document.getElementById("list");
const rows = () => [...list.querySelectorAll("tr[data-study]")];
let current = null; // the id of the chosen study, which a refresh keeps

function choose(row) {
  for (const other of rows()) other.classList.toggle("current", other === row);
  current = row ? row.dataset.study : null;
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.dataset.study === current);
  const row = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  choose(row);
  row.querySelector("th a").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

async function judge(agrees) {
  const row = rows().find((one) => one.dataset.study === current);
  if (!row) return tell(list.dataset.saidNone);
  const body = new URLSearchParams({
    csrf: document.querySelector("form.filter input[name=csrf]").value,
    verdict: agrees ? "agree" : "disagree",
  });
  const answer = await fetch(`/studies/${current}/verdict`, { method: "POST", body, redirect: "manual" });
  const saved = answer.type === "opaqueredirect" || answer.ok;
  tell(saved ? `${agrees ? list.dataset.saidAgree : list.dataset.saidDisagree} ${row.cells[0].textContent}.` : list.dataset.saidFailed);
  await again();
}

list.addEventListener("focusin", (event) => {
  const row = event.target.closest("tr[data-study]");
  if (row) choose(row);
});

let focused = null, scrolled = 0;
const again = refresh(["live", "list"], Number(document.getElementById("live").dataset.refresh), {
  before() {
    const active = document.activeElement;
    const row = active?.closest("tr[data-study]");
    const counted = active?.closest("#live a");
    focused = row ? { row: row.dataset.study } : counted ? { href: counted.getAttribute("href") } : active?.closest(".scroll") ? { scroll: true } : null;
    scrolled = list.querySelector(".scroll")?.scrollLeft ?? 0;
  },
  after() {
    const scroll = list.querySelector(".scroll");
    if (scroll) scroll.scrollLeft = scrolled;
    choose(rows().find((row) => row.dataset.study === current) ?? null);
    if (!focused || (document.activeElement !== document.body && document.activeElement)) return;
    const target = focused.row
      ? rows().find((row) => row.dataset.study === focused.row)?.querySelector("th a")
      : focused.scroll ? scroll : [...document.querySelectorAll("#live a")].find((a) => a.getAttribute("href") === focused.href);
    target?.focus({ preventScroll: true });
  },
});

onKeys({
  j: () => step(1),
  k: () => step(-1),
  a: () => judge(true),
  d: () => judge(false),
  "/": () => { const search = document.getElementById("search"); search.focus(); search.select(); },
});
