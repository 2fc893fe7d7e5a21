// The parts of a page that change, fetched again from the page's own address; nothing moves under the reader's hands.

/** Every `seconds` the elements with these ids are replaced by those of the page as it is now. */
export function refresh(ids, seconds, { before = () => {}, after = () => {} } = {}) {
  let running = false;
  const once = async () => {
    if (running || document.hidden || document.querySelector("dialog[open]")) return;
    running = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      before();
      for (const id of ids) {
        const old = document.getElementById(id), made = fresh.getElementById(id);
        if (old && made && old.innerHTML !== made.innerHTML) old.innerHTML = made.innerHTML;
      }
      after();
    } catch {
      // away or logged out: what stands there stays, and the next click says it
    } finally {
      running = false;
    }
  };
  setInterval(once, seconds * 1000);
  return once;
}
