// Pages of devpi-forkbuilder: they work without this. It filters while one types, copies, and brings what has changed.
"use strict";
(() => {
  const LIST_BUSY = 1000, LIST_IDLE = 10000, LOG = 400, PATIENCE = 5000; // milliseconds
  const byId = (id) => document.getElementById(id);
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  const addCopiers = (root) => {
    for (const code of root.querySelectorAll("code.fb-copy")) {
      if (code.nextElementSibling?.classList.contains("fb-copier")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "fb-copier";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy ${code.textContent.slice(0, 60)}`);
      code.after(button);
    }
  };
  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // over plain HTTP there is no clipboard object
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.(".fb-copier");
    if (!button) return;
    await copy(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    button.focus();
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  const agoOf = (seconds) => {
    for (const [name, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      const count = Math.floor(seconds / length);
      if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
    }
    return "just now";
  };
  const refreshAges = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const text = agoOf((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const list = byId("fb-forks");
  const filter = () => {
    const words = (byId("fb-q")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const pin of document.querySelectorAll(".fb-pin")) {
      const text = pin.dataset.find.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      if (pin.hidden === fits) pin.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    const found = byId("fb-found");
    if (found) found.textContent = found.textContent.replace(/^\d+/, shown);
  };
  const putRows = (fresh) => {
    for (const row of fresh.querySelectorAll(".fb-pin")) {
      const old = byId(row.id);
      if (!old) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const place = focused ? [...old.querySelectorAll("a,button,summary")].indexOf(focused) : -1;
      row.querySelector("details").open = old.querySelector("details").open;
      old.replaceWith(document.adoptNode(row));
      addCopiers(row);
      if (place >= 0) row.querySelectorAll("a,button,summary")[place]?.focus();
    }
    const totals = fresh.querySelector("#fb-totals");
    if (totals) byId("fb-totals").replaceWith(document.adoptNode(totals));
    filter();
  };
  const askForRows = async () => {
    let wait = list.dataset.live === "yes" ? LIST_BUSY : LIST_IDLE;
    try {
      if (!document.hidden) {
        const query = new URLSearchParams(location.search);
        query.set("since", list.dataset.token);
        const answer = await fetch(`${list.dataset.url}?${query}`, { headers: { Accept: "text/html" } });
        if (answer.status === 205) return location.reload();
        if (answer.status === 200) {
          const fresh = parsed(await answer.text()).body.firstElementChild;
          list.dataset.token = fresh.dataset.token;
          list.dataset.live = fresh.dataset.live;
          putRows(fresh);
        } else if (answer.status === 204) {
          list.dataset.live = "no";
        }
      }
    } catch { wait = PATIENCE; }
    setTimeout(askForRows, wait);
  };

  const build = byId("fb-build"), log = byId("fb-log");
  let following = true;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  const sayFollowing = () => {
    const live = build.dataset.live === "yes";
    byId("fb-follow").hidden = !live || following;
    const text = !live ? "" : following ? "Following the end" : "Stopped: you scrolled up";
    if (byId("fb-follow-state").textContent !== text) byId("fb-follow-state").textContent = text;
  };
  const toEnd = () => { log.scrollTop = log.scrollHeight; };
  const putLog = (part) => {
    const head = byId("fb-build-head"), fresh = document.createElement("div");
    fresh.innerHTML = part.head;
    addCopiers(fresh);
    if (head.innerHTML !== fresh.innerHTML && !head.contains(document.activeElement)) head.replaceChildren(...fresh.childNodes);
    if (part.anew) log.replaceChildren();
    if (part.log) log.insertAdjacentHTML("beforeend", part.log);
    byId("fb-no-log").hidden = log.childElementCount > 0;
    Object.assign(build.dataset, { next: part.next, changed: part.changed });
    if (following && part.log) toEnd();
  };
  const askForLog = async () => {
    let wait = LOG;
    try {
      if (!document.hidden) {
        const url = new URL(build.dataset.liveUrl, location);
        url.searchParams.set("from", build.dataset.next);
        url.searchParams.set("changed", build.dataset.changed);
        const answer = await fetch(url, { headers: { Accept: "text/html" } });
        if (answer.status === 410) return location.reload();
        if (!answer.ok) throw new Error(answer.status);
        const part = await answer.json();
        putLog(part);
        build.dataset.live = part.live ? "yes" : "no";
        if (!part.live) {
          // with the failing line marked and the files; who reads the log meanwhile keeps the place
          return following ? location.reload() : sayFollowing();
        }
      }
    } catch { wait = PATIENCE; }
    sayFollowing();
    setTimeout(askForLog, wait);
  };

  addCopiers(document);
  refreshAges();
  setInterval(refreshAges, 20000);
  if (list) {
    byId("fb-q")?.addEventListener("input", filter);
    setTimeout(askForRows, list.dataset.live === "yes" ? LIST_BUSY : LIST_IDLE);
  }
  if (build) {
    log.addEventListener("scroll", () => { following = atEnd(); sayFollowing(); }, { passive: true });
    byId("fb-follow").addEventListener("click", () => { following = true; toEnd(); sayFollowing(); log.focus(); });
    if (build.dataset.live === "yes") { toEnd(); sayFollowing(); setTimeout(askForLog, LOG); }
  }
})();
