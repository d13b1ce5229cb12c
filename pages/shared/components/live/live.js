// Folds a run's events (server-sent, numbered) into curves and a confusion matrix.
// EventSource reconnects by itself and sends Last-Event-ID, so nothing is drawn twice.

const PARTS = ["target", "source", "penalty", "total"];
const COLORS = { target: 0, source: 1, penalty: 3, total: 4 };
const REDRAW_MS = 250;
const REFUSED_MS = 10_000;

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".live");
  // A resumed run is live again: its stream had ended, so it is followed anew.
  const key = `${data.run} ${data.live} ${data.words.loss}`;
  if (root.follower?.key !== key) {
    root.follower?.stop();
    root.follower = { key, ...follow(root, data) };
  }
  // Streamlit cleans up before each call, not only at the end: the stream stops only when the element has left the page.
  return () => setTimeout(() => { if (!root.isConnected) root.follower?.stop(); }, 0);
}

function loadPlotly() {
  if (!window.studioPlotly) {
    window.studioPlotly = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "/vendor/plotly.min.js";
      script.onload = () => resolve(window.Plotly);
      script.onerror = reject;
      document.head.append(script);
    });
  }
  return window.studioPlotly;
}

function follow(root, { run, words, palette }) {
  const state = { started: null, steps: [], epochs: [] };
  root.replaceChildren();
  const status = element("p", "live-empty", words.empty);
  const needles = element("div", "live-needles");
  const learned = gauge(words.learned, words.learned_help, "learned"), kept = gauge("", "", "kept");
  needles.append(learned.box, kept.box);
  const charts = element("div", "live-charts");
  const loss = figure(words.loss), accuracy = figure(words.accuracy);
  charts.append(loss.box, accuracy.box);
  const matrix = element("section", "live-matrix");
  const table = element("details", "live-table");
  const hint = element("p", "live-hint", words.lines);
  root.append(status, needles, charts, hint, matrix, table);
  needles.hidden = charts.hidden = table.hidden = hint.hidden = true;

  let timer = null, stopped = false, drawnEpoch = -1;
  let source = null, seen = 0, again = null;
  open();

  function open() {
    const address = `/api/jobs/${run}/events${seen ? `?after=${seen}` : ""}`;
    source = new EventSource(address);
    source.onopen = () => {
      status.textContent = words.empty;
      status.hidden = !charts.hidden;
    };
    source.onmessage = heard;
    source.addEventListener("end", () => source.close());
    // It comes back by itself, but not from a refusal; and why it was refused, only a question of our own hears.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED && !stopped) why(address); };
  }

  async function why(address) {
    const asked = new AbortController();
    const answer = await fetch(address, { signal: asked.signal }).catch(() => null);
    if (answer?.status === 429) {
      const { error, hint } = await answer.json();
      status.textContent = `${error} ${hint}`;
      status.hidden = false;
    } else asked.abort();
    if ([200, 429].includes(answer?.status) && !stopped) again = setTimeout(open, REFUSED_MS);
  }

  function heard(message) {
    const event = JSON.parse(message.data);
    seen = Number(message.lastEventId) || seen;
    if (event.type === "started") resume(event);
    else if (event.type === "step") state.steps.push(event);
    else if (event.type === "epoch") state.epochs.push(event);
    else if (["finished", "stopped", "failed"].includes(event.type)) { // the stream ends after evaluation and export
      state.over = true;
      drawnEpoch = -1;
    }
    else return;
    timer ??= setTimeout(() => { timer = null; draw(); }, REDRAW_MS);
  }

  function resume(event) {
    state.started = event;
    state.over = false;
    state.epochs = state.epochs.filter((epoch) => epoch.epoch < event.first_epoch);
    const last = state.epochs.length ? state.epochs.at(-1).step : 0;
    state.steps = state.steps.filter((step) => step.step <= last);
    drawnEpoch = -1;
  }

  async function draw() {
    const Plotly = await loadPlotly();
    if (stopped || !state.started) return;
    if (!state.steps.length && !state.epochs.length) return;
    status.hidden = true;
    charts.hidden = table.hidden = hint.hidden = false;
    const look = theme(root);
    const epochs = state.epochs.length ? state.epochs.at(-1).epoch : 0;
    const byEpoch = { title: { text: words.epoch }, range: [0.7, Math.max(5, epochs) + 0.3], dtick: Math.max(1, Math.ceil(epochs / 10)) };
    const draws = [[loss, lossTraces, { title: { text: words.step }, rangemode: "tozero" }, { rangemode: "tozero" }],
                   [accuracy, accuracyTraces, byEpoch, { tickformat: ".0%", range: [0, 1.02] }]];
    for (const [chart, traces, x, y] of draws) Plotly.react(chart.plot, traces(state, words, palette), layout(look, x, y), CONFIG);
    if (state.epochs.length !== drawnEpoch) {
      drawnEpoch = state.epochs.length;
      drawMatrix(matrix, state, words);
      drawTable(table, state, words);
      const last = spokenOf(state);
      const left = last && validated(state) ? remaining(last) : null;
      needles.hidden = !left;
      if (left) {
        learned.show(last.validation_accuracy);
        kept.show(left.share, words[`kept_${left.of}`], fill(words[`kept_${left.of}_help`], { n: left.n }));
      }
      if (last) {
        loss.plot.setAttribute("aria-label", fill(words.loss_alt, { epoch: last.epoch, train: last.train.target.toFixed(3), validation: last.validation.target.toFixed(3) }));
        accuracy.plot.setAttribute("aria-label", fill(words.accuracy_alt, { epoch: last.epoch, train: percent(last.train_accuracy), validation: percent(last.validation_accuracy) }));
      }
    }
  }

  const resize = new ResizeObserver(() => {
    if (window.Plotly) for (const { plot } of [loss, accuracy]) if (plot.data && plot.offsetWidth) window.Plotly.Plots.resize(plot);
  });
  resize.observe(root);
  const repaint = () => { drawnEpoch = -1; draw(); };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", repaint);

  return {
    stop() {
      stopped = true;
      source.close();
      clearTimeout(timer);
      clearTimeout(again);
      resize.disconnect();
      dark.removeEventListener("change", repaint);
    },
  };
}

// Plotly's own buttons and hints speak English only; dragging zooms, a double click goes back, and our own line says so.
const CONFIG = { displaylogo: false, responsive: false, displayModeBar: false, showTips: false, doubleClick: "autosize" };

function lossTraces(state, words, palette) {
  const parts = PARTS.filter((part) => state.epochs.concat(state.steps).some((e) => (e.losses ?? e.train)[part] != null));
  const several = parts.length > 2;  // the total alone says what the target says
  return parts.filter((part) => part !== "total" || several).flatMap((part) => {
    const color = palette[COLORS[part] % palette.length];
    const steps = state.steps.filter((step) => step.losses[part] != null);
    // A penalty is of another size than the losses, and hides them in the total; without a source loss the total nearly is the target.
    const offered = part === "penalty" || (part === "total" && (!parts.includes("source") || parts.includes("penalty")));
    const visible = offered ? "legendonly" : true;
    const all = { legendgroup: part, visible };
    const curves = [
      { ...all, name: several ? words[part] : words.training, x: steps.map((s) => s.step), y: smooth(steps.map((s) => s.losses[part])),
        mode: "lines", line: { color, width: 1.5 }, opacity: 0.8, hovertemplate: `%{y:.3f} <i>${words.training}</i>` },
      { ...all, name: several ? words[part] : words.validation, showlegend: !several, x: state.epochs.map((e) => e.step),
        y: state.epochs.map((e) => e.validation[part]), mode: "lines+markers", line: { color, width: 2.5, dash: "dot" },
        marker: { ...stars(state), color }, customdata: state.epochs.map((e) => e.epoch),
        hovertemplate: `%{y:.3f} <i>${words.validation} (${words.epoch} %{customdata})</i>` },
    ];
    return validated(state) ? curves : curves.slice(0, 1);
  });
}

// Without validation photos the numbers under that name repeat the training's: they are not shown as if they were new photos'.
function validated(state) {
  return (state.started.images.validation ?? 1) > 0;
}

function accuracyTraces(state, words, palette) {
  const x = state.epochs.map((epoch) => epoch.epoch), color = palette[COLORS.target];
  const curves = [
    { name: words.training, x, y: state.epochs.map((e) => e.train_accuracy), mode: "lines+markers", line: { color, width: 1.5 }, marker: { size: 4, color },
      opacity: 0.8, hovertemplate: "%{y:.1%}" },
    { name: words.validation, x, y: state.epochs.map((e) => e.validation_accuracy), mode: "lines+markers",
      line: { color, width: 2.5, dash: "dot" }, marker: { ...stars(state), color }, hovertemplate: "%{y:.1%}" },
  ];
  if (!validated(state)) return curves.slice(0, 1);
  const left = state.epochs.map(remaining), first = left.find(Boolean);
  if (first) {
    const other = palette[COLORS.source];
    curves.push({ name: words[`kept_${first.of}`], x, y: left.map((one) => one?.share), mode: "lines+markers",
      line: { color: other, width: 2.5, dash: "dash" }, marker: { symbol: "diamond", size: 7, color: other }, hovertemplate: "%{y:.1%}" });
  }
  return curves;
}

// What is left of the old knowledge: right answers on the second dataset, else unchanged answers, else unchanged features.
// The epoch that needles and matrix tell of: the last one, and once it is over, the one whose weights are kept.
function spokenOf({ epochs, over }) {
  return (over && epochs.findLast((epoch) => epoch.best)) || epochs.at(-1);
}

function remaining({ kept }) {
  if (!kept) return null;
  if (kept.source_accuracy != null) return { of: "source", share: kept.source_accuracy, n: kept.source_images };
  if (kept.agreement != null) return { of: "agreement", share: kept.agreement, n: kept.images };
  return kept.similarity == null ? null : { of: "similarity", share: Math.max(0, kept.similarity), n: kept.images };
}

function gauge(label, help, kind) {
  const box = element("div", `live-gauge ${kind}`), dial = element("div", "live-dial"), needle = element("i");
  const number = element("b"), title = element("span", "", label), small = element("small", "", help);
  dial.append(needle);
  dial.setAttribute("role", "meter");
  dial.setAttribute("aria-valuemin", 0);
  dial.setAttribute("aria-valuemax", 100);
  box.append(dial, number, title, small);
  return {
    box,
    show(share, name = label, text = help) {
      dial.style.setProperty("--share", share);
      dial.setAttribute("aria-valuenow", Math.round(100 * share));
      dial.setAttribute("aria-label", name);
      number.textContent = `${Math.round(100 * share)} %`;
      title.textContent = name;
      small.textContent = text;
    },
  };
}

// Only the epoch whose weights are kept is starred: the last one that was the best so far.
function stars(state) {
  const kept = state.epochs.findLastIndex((epoch) => epoch.best);
  return { symbol: state.epochs.map((_, index) => (index === kept ? "star" : "circle")), size: state.epochs.map((_, index) => (index === kept ? 13 : 8)) };
}

function drawMatrix(section, state, words) {
  const last = spokenOf(state), names = state.started.classes;
  section.replaceChildren();
  if (!last || names.length > 60 || !validated(state)) return;
  const grid = element("table", names.length > 14 ? "live-confusion dense" : "live-confusion");
  const caption = element("caption", "", `${words.confusion} · ${words.epoch} ${last.epoch}`);
  caption.append(element("small", "", words.confusion_help));
  grid.append(caption);
  const head = element("tr");
  head.append(element("th", "corner", `${words.truth} ↓  ${words.predicted} →`));
  for (const name of names) head.append(header(name, "col"));
  grid.append(head);
  last.confusion.forEach((row, truth) => {
    const line = element("tr"), sum = row.reduce((a, b) => a + b, 0);
    line.append(header(names[truth], "row"));
    row.forEach((count, guess) => {
      const cell = element("td", truth === guess ? "right" : "wrong", count || "");
      cell.style.setProperty("--share", sum ? count / sum : 0);
      cell.title = `${names[truth]} → ${names[guess]}: ${count} / ${sum}`;
      line.append(cell);
    });
    grid.append(line);
  });
  const scroller = element("div", "live-scroll");
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", words.confusion_alt);
  scroller.append(grid);
  section.append(scroller);
}

function drawTable(details, state, words) {
  const open = details.open;
  const table = element("table");
  const head = element("tr");
  for (const name of [words.epoch, `${words.loss} · ${words.training}`, `${words.loss} · ${words.validation}`, `${words.accuracy} · ${words.training}`, `${words.accuracy} · ${words.validation}`, ""]) head.append(header(name, "col"));
  table.append(head);
  const kept = state.epochs.findLast((epoch) => epoch.best);
  for (const epoch of state.epochs) {
    const row = element("tr");
    for (const value of [epoch.epoch, epoch.train.target.toFixed(3), epoch.validation.target.toFixed(3), percent(epoch.train_accuracy), percent(epoch.validation_accuracy), epoch === kept ? `★ ${words.best}` : ""]) row.append(element("td", "", value));
    table.append(row);
  }
  details.replaceChildren(element("summary", "", words.table), table);
  details.open = open;
}

function layout(look, xaxis, yaxis) {
  const axis = { gridcolor: look.grid, zerolinecolor: look.grid, linecolor: look.grid, automargin: true };
  return {
    uirevision: "run", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", height: 290,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",  // on a phone a finger on the chart scrolls the page
    font: { family: look.font, color: look.text, size: 13 }, margin: { l: 44, r: 8, t: 8, b: 40 },
    hoverlabel: { bgcolor: look.panel, font: { color: look.text } }, showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
  };
}

function theme(root) {
  const css = getComputedStyle(root);
  return {
    text: css.color, font: css.fontFamily,
    grid: css.getPropertyValue("--st-border-color") || "rgba(128,128,128,.25)",
    panel: css.getPropertyValue("--st-background-color") || "#fff",
  };
}

// Exponential moving average over a twentieth of the points, at most ten: the trend, not the noise of single batches,
// and hardly behind it, so that a short training's curve can be compared with the dots of its epochs.
function smooth(values) {
  const keep = 1 - 1 / Math.min(10, Math.max(1, values.length / 20));
  let mean = values[0];
  return values.map((value) => (mean = keep * mean + (1 - keep) * value));
}

function figure(title) {
  const box = element("figure"), plot = element("div", "live-plot");
  plot.setAttribute("role", "img");
  box.append(element("figcaption", "", title), plot);
  return { box, plot };
}

function header(text, scope) {
  const cell = element("th", "", text);
  cell.scope = scope;
  cell.title = text;
  return cell;
}

function element(tag, className = "", text = null) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== null) made.textContent = text;  // textContent: a class name is never markup
  return made;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
