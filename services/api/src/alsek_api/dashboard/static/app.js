// What scripts add to pages that work without them: live numbers, the reader's own clock, charts, shortcuts, a theme.
// Nothing here builds markup from data: text goes into text nodes only.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // ---- theme: the system's, unless somebody chose ----
  const themes = ["auto", "light", "dark"];
  let theme = themes.includes(localStorage.getItem("alsek-theme")) ? localStorage.getItem("alsek-theme") : "auto";
  const wear = () => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  wear();

  const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
  const local = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const thin = (digits) => digits.replace(/,/g, "\u202f");

  // ---- spans and times, as the server writes them ----
  const span = (ms) => {
    if (ms < 1) return ms <= 0 ? "0 ms" : "< 1 ms";
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
    const units = [["day", 86400000], ["h", 3600000], ["min", 60000], ["s", 1000]];
    const at = units.findIndex(([, size]) => ms >= size);
    const [unit, size] = units[at];
    const whole = Math.floor(ms / size);
    let out = `${whole} ${unit === "day" && whole !== 1 ? "days" : unit}`;
    if (at + 1 < units.length) {
      const rest = Math.floor((ms - whole * size) / units[at + 1][1]);
      if (rest) out += ` ${rest} ${units[at + 1][0]}`;
    }
    return out;
  };
  const relative = (ms) => {
    const whole = Math.round(Math.abs(ms) / 1000) * 1000;
    if (whole < 1000) return "now";
    const words = span(whole).replace(".0 s", " s");
    return ms > 0 ? `${words} ago` : `in ${words}`;
  };
  // The server's clock, not the reader's: the page says what time it was made.
  let skew = 0;
  const readClock = () => {
    const stamp = document.querySelector("[data-now]");
    if (stamp && stamp.dataset.now !== readClock.seen) {
      readClock.seen = stamp.dataset.now;
      skew = Number(stamp.dataset.now) - Date.now();
    }
  };
  const tellTimes = () => {
    readClock();
    const now = Date.now() + skew;
    for (const node of document.querySelectorAll("time[data-ago]")) text(node, relative(now - Date.parse(node.dateTime)));
    for (const node of document.querySelectorAll("time[data-clock]")) text(node, local.format(new Date(node.dateTime)));
    for (const node of document.querySelectorAll("time[data-hour]")) text(node, hour.format(new Date(node.dateTime)));
  };

  // ---- charts: drawn from the table that every chart carries ----
  const plots = new Map();
  const axisText = {
    count: (v) => thin(v >= 1e6 ? `${+(v / 1e6).toFixed(1)}M` : v >= 1e4 ? `${+(v / 1e3).toFixed(1)}k` : v.toLocaleString("en")),
    ms: (v) => (v === 0 ? "0" : span(v).replace(".0 s", " s")),
  };
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const readTable = (figure) => {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const columns = figure.querySelectorAll("thead th").length;
    return Array.from({ length: columns }, (_, i) =>
      rows.map((row) => { const raw = row.children[i].dataset.value; return raw === "" ? null : Number(raw); }));
  };
  const stack = (data) => {
    const sums = [data[0]];
    let below = data[0].map(() => 0);
    for (const layer of data.slice(1)) { below = layer.map((v, i) => (v || 0) + below[i]); sums.push(below); }
    return sums;
  };
  const draw = (figure) => {
    const spot = figure.querySelector(".plot");
    if (!spot || !window.uPlot) return;
    const bars = figure.dataset.kind === "bars";
    const raw = readTable(figure);
    const known = plots.get(spot);
    const mood = colour("--surface");
    if (known && known.mood === mood && known.width === spot.clientWidth) {
      known.raw = raw;
      known.plot.setData(bars ? stack(raw) : raw);
      return;
    }
    if (known) known.plot.destroy();
    spot.replaceChildren();
    const say = axisText[figure.dataset.unit] || axisText.count;
    const tones = figure.dataset.tones.split(" ").map((tone) => colour(`--chart-${tone}`) || colour("--faint"));
    const names = [...figure.querySelectorAll("thead th")].slice(1).map((th) => th.textContent);
    const note = document.createElement("div");
    note.className = "tip";
    note.hidden = true;
    const kept = { raw, mood, width: spot.clientWidth };
    // Stacked layers are drawn from the top down, so that each covers what stands below it.
    const order = names.map((_, i) => i);
    if (bars) order.reverse();
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--chart-grid"), width: 1 }, ticks: { show: false }, font: `11px ${colour("--sans")}` };
    const shape = (data) => { const all = bars ? stack(data) : data; return [all[0], ...order.map((i) => all[i + 1])]; };
    kept.plot = new window.uPlot({
      width: spot.clientWidth, height: spot.clientHeight, legend: { show: false }, padding: [8, 4, 0, 0],
      cursor: { y: false, points: { show: !bars }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_u, _lo, hi) => [0, Math.max(hi || 0, 1) * 1.08] } },
      axes: [
        { ...axis, space: 70, size: 24, gap: 4, grid: { show: false }, values: (_u, at) => at.map((s) => hour.format(new Date(s * 1000))) },
        { ...axis, size: (_u, values) => 14 + 6.6 * Math.max(1, ...(values || []).map((v) => v.length)), gap: 6, values: (_u, at) => at.map(say), space: 34 },
      ],
      series: [{}, ...order.map((i) => bars
        ? { label: names[i], fill: tones[i], stroke: tones[i], width: 0, paths: window.uPlot.paths.bars({ size: [0.76, 40], radius: 0.15 }), points: { show: false } }
        : { label: names[i], stroke: tones[i], width: 2, points: { show: true, size: 4, width: 0, fill: tones[i] }, spanGaps: false })],
      hooks: {
        setCursor: [(u) => {
          const at = u.cursor.idx;
          note.hidden = at == null || u.cursor.left < 0;
          if (note.hidden) return;
          const head = document.createElement("b");
          head.textContent = hour.format(new Date(kept.raw[0][at] * 1000));
          const lines = names.map((name, i) => {
            const line = document.createElement("div");
            const value = kept.raw[i + 1][at];
            line.textContent = `${name}: ${value == null ? "–" : say(value)}`;
            return line;
          });
          note.replaceChildren(head, ...lines);
          const left = u.cursor.left + u.bbox.left / devicePixelRatio;
          note.style.left = `${Math.max(0, Math.min(left + 12, spot.clientWidth - note.offsetWidth))}px`;
          note.style.top = "0.5rem";
        }],
      },
    }, shape(raw), spot);
    const setData = kept.plot.setData.bind(kept.plot);
    kept.plot.setData = () => setData(shape(kept.raw));
    spot.append(note);
    plots.set(spot, kept);
  };
  const drawAll = () => {
    for (const [spot, kept] of plots) if (!spot.isConnected) { kept.plot.destroy(); plots.delete(spot); }
    for (const figure of document.querySelectorAll(".chart[data-kind]")) {
      if (!window.uPlot) return;
      const drawn = figure.querySelector("svg.drawn");
      if (drawn) { drawn.toggleAttribute("hidden", true); figure.querySelector(".axis").hidden = true; }
      const spot = figure.querySelector(".plot");
      if (spot) { spot.hidden = false; draw(figure); }
    }
  };

  // ---- live: one stream says that something changed, the page fetches itself anew ----
  let stream = null;
  const pulse = (state, words) => {
    const node = document.querySelector(".pulse");
    if (node) { node.dataset.state = state; text(node, words); }
  };
  const busy = () => {
    const region = document.getElementById("live");
    const focus = document.activeElement;
    return document.querySelector("dialog[open], details.ask[open]")
      || (region && region.contains(focus) && focus.matches("input, select, textarea"))
      || String(getSelection()).trim() !== "";
  };
  const watch = () => {
    const region = document.getElementById("live");
    if (region && !region.dataset.stream) pulse("", "Ended");
    if (stream || document.hidden || !region || !region.dataset.stream || !window.htmx) return;
    stream = new EventSource(region.dataset.stream);
    stream.addEventListener("open", () => pulse("live", "Live"));
    stream.addEventListener("changed", () => { if (!busy()) document.body.dispatchEvent(new Event("alsek:changed")); });
    stream.addEventListener("bye", () => { rest(); setTimeout(watch, 500 + Math.random() * 1500); });
    stream.addEventListener("error", () => {
      pulse("lost", "Reconnecting…");
      if (stream && stream.readyState === EventSource.CLOSED) { rest(); setTimeout(watch, 3000); }
    });
  };
  const rest = () => { if (stream) { stream.close(); stream = null; } };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { rest(); pulse("", "Paused"); } else { document.body.dispatchEvent(new Event("alsek:changed")); watch(); }
  });
  addEventListener("pagehide", rest);
  document.addEventListener("htmx:before:swap", () => { pulse("live", "Live"); });
  document.addEventListener("htmx:after:swap", () => {
    tellTimes();
    drawAll();
    const region = document.getElementById("live");
    if (region && !region.dataset.stream) { rest(); pulse("", "Ended"); }
  });
  document.addEventListener("htmx:response:error", (event) => {
    const status = event.detail && event.detail.ctx && event.detail.ctx.response && event.detail.ctx.response.status;
    if (status === 401 || status === 403) location.reload();
  });

  // ---- keyboard ----
  const places = { o: "/", q: "/queues", m: "/messages", d: "/dead-letters", s: "/schedules", w: "/workers", t: "/tasks" };
  let waiting = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll("details.ask[open]")) {
        open.open = false;
        if (open.contains(document.activeElement)) open.querySelector("summary").focus();
      }
      return;
    }
    if (event.target.matches("input, select, textarea")) return;
    if (waiting && places[event.key]) {
      const link = document.querySelector(`.rail nav a[href="${places[event.key]}"]`);
      if (link) location.assign(link.href);
    }
    waiting = event.key === "g";
    if (event.key === "/") {
      const field = document.querySelector("[data-search]");
      if (field) { event.preventDefault(); field.focus(); field.select(); } else location.assign("/messages#search");
    }
    if (event.key === "?") { const help = document.getElementById("keys"); if (help) help.showModal(); }
  });

  // ---- small comforts ----
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.ask[open]")) if (!open.contains(event.target)) open.open = false;
    const target = event.target.closest("[data-do]");
    if (!target) return;
    if (target.dataset.do === "theme") {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      localStorage.setItem("alsek-theme", theme);
      wear(); nameTheme(); drawAll();
    }
    if (target.dataset.do === "keys") document.getElementById("keys").showModal();
    if (target.dataset.do === "copy") {
      navigator.clipboard.writeText(target.dataset.text).then(() => {
        const label = target.querySelector("span");
        const before = label.textContent;
        label.textContent = "Copied";
        setTimeout(() => { label.textContent = before; }, 1200);
      });
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    // A second press of the same button is no second action.
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.method === "post") event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent; });
  const nameTheme = () => {
    for (const button of document.querySelectorAll('[data-do="theme"]')) {
      button.hidden = false;
      button.title = `Theme: ${theme}`;
      button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    nameTheme();
    tellTimes();
    drawAll();
    watch();
    setInterval(tellTimes, 1000);
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  });
})();
