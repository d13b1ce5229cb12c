// Folds a run's events (server-sent, numbered) into curves and a confusion matrix.
// EventSource reconnects by itself and sends Last-Event-ID, so nothing is drawn twice.

const PARTS = ["total", "target", "source", "penalty"];
const REDRAW_MS = 250;

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
  const charts = element("div", "live-charts");
  const loss = figure(words.loss), accuracy = figure(words.accuracy);
  charts.append(loss.box, accuracy.box);
  const matrix = element("section", "live-matrix");
  const table = element("details", "live-table");
  root.append(status, charts, matrix, table);
  charts.hidden = table.hidden = true;

  let timer = null, stopped = false, drawnEpoch = -1;
  const source = new EventSource(`/api/jobs/${run}/events`);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type === "started") resume(event);
    else if (event.type === "step") state.steps.push(event);
    else if (event.type === "epoch") state.epochs.push(event);
    else if (["finished", "stopped", "failed"].includes(event.type)) { /* the stream ends after evaluation and export */ }
    else return;
    timer ??= setTimeout(() => { timer = null; draw(); }, REDRAW_MS);
  };
  source.addEventListener("end", () => source.close());

  function resume(event) {
    state.started = event;
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
    charts.hidden = table.hidden = false;
    const look = theme(root);
    const draws = [[loss, lossTraces, words.step, { type: "linear", rangemode: "tozero" }],
                   [accuracy, accuracyTraces, words.epoch, { tickformat: ".0%", range: [0, 1.02] }]];
    for (const [chart, traces, x, y] of draws) {
      const data = traces(state, words, palette);
      const rows = Math.ceil(data.length / (chart.plot.offsetWidth > 460 ? 2 : 1));
      Plotly.react(chart.plot, data, layout(look, x, y, rows), CONFIG);
    }
    if (state.epochs.length !== drawnEpoch) {
      drawnEpoch = state.epochs.length;
      drawMatrix(matrix, state, words);
      drawTable(table, state, words);
      const last = state.epochs.at(-1);
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
      resize.disconnect();
      dark.removeEventListener("change", repaint);
    },
  };
}

const CONFIG = { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function lossTraces(state, words, palette) {
  const stepsPerEpoch = state.started.steps_per_epoch;
  const seen = PARTS.filter((part) => part === "target" || state.epochs.concat(state.steps).some((e) => (e.losses ?? e.train)[part] != null));
  const parts = seen.length > 1 ? ["total", ...seen.filter((part) => part !== "total")] : seen;
  const several = parts.filter((part) => part !== "total").length > 1;
  return parts.filter((part) => part !== "total" || several).flatMap((part) => {
    const color = palette[PARTS.indexOf(part) % palette.length];
    const name = (kind) => (several ? `${words[part]} · ${kind}` : kind);
    const steps = state.steps.filter((step) => step.losses[part] != null);
    // The penalty of a plain weight decay is of another size than the losses: offered, but not in the way.
    const visible = part === "penalty" ? "legendonly" : true;
    return [
      { name: name(words.training), x: steps.map((s) => s.step), y: smooth(steps.map((s) => s.losses[part])), mode: "lines", visible,
        line: { color, width: 1.5 }, opacity: 0.75, hovertemplate: "%{y:.3f}" },
      { name: name(words.validation), x: state.epochs.map((e) => e.step), y: state.epochs.map((e) => e.validation[part]), mode: "lines+markers",
        visible, line: { color, width: 2.5, dash: "dot" }, marker: { size: 8, color, symbol: stars(state) },
        customdata: state.epochs.map((e) => e.epoch), hovertemplate: `%{y:.3f} (${words.epoch} %{customdata})` },
    ];
  });
}

function accuracyTraces(state, words, palette) {
  const x = state.epochs.map((epoch) => epoch.epoch);
  return [
    { name: words.training, x, y: state.epochs.map((e) => e.train_accuracy), mode: "lines+markers", line: { color: palette[1], width: 1.5 }, hovertemplate: "%{y:.1%}" },
    { name: words.validation, x, y: state.epochs.map((e) => e.validation_accuracy), mode: "lines+markers",
      line: { color: palette[0], width: 2.5, dash: "dot" }, marker: { size: 8, symbol: stars(state) }, hovertemplate: "%{y:.1%}" },
  ];
}

// Only the epoch whose weights are kept is starred: the last one that was the best so far.
function stars(state) {
  const kept = state.epochs.findLastIndex((epoch) => epoch.best);
  return state.epochs.map((_, index) => (index === kept ? "star" : "circle"));
}

function drawMatrix(section, state, words) {
  const last = state.epochs.at(-1), names = state.started.classes;
  section.replaceChildren();
  if (!last || names.length > 60) return;
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

function layout(look, xTitle, yaxis, legendRows) {
  const axis = { gridcolor: look.grid, zerolinecolor: look.grid, linecolor: look.grid, automargin: true };
  return {
    uirevision: "run", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", height: 270 + 20 * legendRows,
    font: { family: look.font, color: look.text, size: 13 }, margin: { l: 44, r: 8, t: 8, b: 40 },
    hoverlabel: { bgcolor: look.panel, font: { color: look.text } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, maxheight: 0.9 }, xaxis: { ...axis, title: { text: xTitle } }, yaxis: { ...axis, ...yaxis },
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

// Exponential moving average with a memory of about ten reported steps: the trend, not the noise of single batches.
function smooth(values) {
  let mean = values[0];
  return values.map((value) => (mean = 0.9 * mean + 0.1 * value));
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
