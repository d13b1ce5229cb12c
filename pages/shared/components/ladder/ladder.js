// A model's layer groups from the photo to the answer: a picture (bar height = share of the compute), a slider under it that
// freezes from the left, and one row a group with the three positions. The server holds the truth; see __init__.py.

const POSITIONS = ["train", "anchor", "freeze"];
const PAUSE_MS = 90;  // between two messages while a person drags
const PATIENCE_MS = 2500, TRIES = 3;  // a message whose script was ended before it began is never answered
const ICONS = {
  train: '<path d="M12 3c1 3.2 5.2 5.3 5.2 10.2A5.2 5.2 0 0 1 12 18.6a5.2 5.2 0 0 1-5.2-5.4c0-2.2 1.1-3.7 2.4-5 .2 1.6.9 2.4 1.7 2.8C10.6 8 10.7 5.3 12 3Z" fill="currentColor" stroke="none"/>',
  anchor: '<circle cx="12" cy="5.5" r="2"/><path d="M12 7.500V20M8.5 11h7M5 13.500c.5 4 3.5 6.5 7 6.500s6.5-2.5 7-6.5"/>',
  freeze: '<path d="M12 3v18M4.2 7.500l15.6 9M19.8 7.500l-15.6 9M9.5 4.5 12 6.600l2.5-2.100M9.5 19.5 12 17.400l2.5 2.1"/>',
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".ladder");
  const made = JSON.stringify([data.words, data.head, data.single, data.rungs.map(({ position, ...fixed }) => fixed)]);
  const view = (root.view ??= {});
  view.send = (positions, sent) => setTriggerValue("positions", { positions, sent });
  const fresh = view.made !== made;
  if (fresh) {
    clearTimeout(view.timer);
    clearTimeout(view.again);
    Object.assign(view, { made, sent: data.answers, timer: null, unsaid: false, positions: data.rungs.map((rung) => rung.position) });
    build(root, view, data);
  }
  view.answers = data.answers;
  // An answer to an older message says where the handle was, not where it is. (A restarted server remembers no messages: 0.)
  const late = view.unsaid || (data.answers && data.answers < view.sent);
  if (fresh || !late) {
    view.positions = data.rungs.map((rung) => rung.position);
    paint(view);
  }
  // Streamlit cleans up before each call, not only at the end: a pause that is running must end, or nothing is said again.
  return () => setTimeout(() => { if (!root.isConnected) [view.timer, view.again].forEach(clearTimeout); }, 0);
}

function build(root, view, { rungs, words, head, single }) {
  const largest = Math.max(...rungs.map((rung) => rung.share), 1e-9);
  const bars = rungs.map((rung) => {
    const bar = element("span", "bar");
    bar.style.setProperty("--height", `${12 + 88 * Math.sqrt(rung.share / largest)}%`);
    bar.title = `${rung.name} · ${percent(rung.share)} ${words.compute}`;
    return bar;
  });
  const strip = element("div", "strip", ...bars);
  strip.setAttribute("role", "img");
  const slider = element("input", "slider");
  Object.assign(slider, { type: "range", min: 0, max: rungs.length, step: 1 });
  slider.setAttribute("aria-label", words.slider);
  slider.addEventListener("input", () => {
    const first = Number(slider.value);
    // Left of the handle everything freezes; right of it what was frozen trains again, and what was set apart stays.
    const before = frozen(view.positions);
    choose(view, view.positions.map((position, index) => index < first ? "freeze" : index < before ? "train" : position));
  });
  const body = element("div", "body", strip, slider);
  const value = element("output", "value");
  const label = element("p", "label", element("span", "", words.slider), value);
  const picture = element("div", "picture", end("photo", words.input), body, end("head", head, words.head_help));
  view.parts = { bars, strip, slider, value, words, radios: [] };
  view.names = rungs.map((rung) => rung.name);
  root.replaceChildren(label, picture, legend(words));
  if (single) root.append(rows(view, rungs, words, head));
}

function rows(view, rungs, words, head) {
  const list = element("div", "rungs");
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", words.rungs);
  rungs.forEach((rung, index) => {
    const name = element("span", "name", rung.name);
    const facts = element("span", "facts", `${rung.parameters} ${words.parameters}`, rung.shape && ` · ${rung.shape}`);
    facts.title = words.shape;
    const meter = element("span", "meter", element("i"));
    meter.firstChild.style.width = `${100 * rung.share}%`;
    const share = element("span", "share", meter, percent(rung.share));
    share.title = words.compute;
    share.setAttribute("aria-label", `${percent(rung.share)} ${words.compute}`);
    const radios = POSITIONS.map((position) => {
      const input = element("input");
      Object.assign(input, { type: "radio", name: `rung-${index}`, value: position });
      input.addEventListener("change", () =>
        choose(view, view.positions.map((old, at) => at === index ? position : old)));
      const option = element("label", `option ${position}`, input, icon(position), element("span", "word", words[position]));
      option.title = words[`${position}_help`];
      return option;
    });
    const choice = element("div", "choice", ...radios);
    choice.setAttribute("role", "radiogroup");
    choice.setAttribute("aria-label", words.rung.replace("{name}", rung.name));
    const row = element("div", "rung", name, facts, share, choice);
    view.parts.radios.push({ row, inputs: radios.map((option) => option.querySelector("input")) });
    list.append(row);
  });
  const last = element("div", "rung train fixed", element("span", "name", head), element("span", "facts", words.head_help),
    element("span", "choice fixed", icon("train"), words.train));
  list.append(last);
  return list;
}

function legend(words) {
  return element("p", "legend", ...POSITIONS.map((position) => {
    const entry = element("span", position, icon(position), element("b", "", words[position]), ` ${words[`${position}_help`]}`);
    return entry;
  }));
}

function paint(view) {
  document.dispatchEvent(new CustomEvent("studio-ladder", { detail: view.positions }));  // the price listens
  const { bars, strip, slider, value, words, radios } = view.parts;
  const first = frozen(view.positions), all = view.positions.length;
  const text = first === 0 ? words.slider_none : first === all ? words.slider_all
    : words.slider_value.replace("{frozen}", first).replace("{all}", all);
  slider.value = first;
  slider.style.setProperty("--done", `${100 * first / all}%`);
  slider.setAttribute("aria-valuetext", text);
  value.textContent = text;
  bars.forEach((bar, index) => { bar.className = `bar ${view.positions[index]}`; });
  strip.setAttribute("aria-label", `${words.strip} ${view.names.map((name, index) => `${name}: ${words[view.positions[index]]}`).join(", ")}`);
  radios.forEach(({ row, inputs }, index) => {
    row.className = `rung ${view.positions[index]}`;
    inputs.forEach((input) => { input.checked = input.value === view.positions[index]; });
  });
}

/** Show it at once, say it at once; while a person goes on dragging, say the last of it every `PAUSE_MS`. */
function choose(view, positions) {
  view.positions = positions;
  paint(view);
  if (view.timer !== null) { view.unsaid = true; return; }
  say(view);
}

function say(view) {
  view.unsaid = false;
  view.sent = Date.now();
  send(view, TRIES);
  view.timer = setTimeout(() => {
    view.timer = null;
    if (view.unsaid) say(view);
  }, PAUSE_MS);
}

function send(view, tries) {
  view.send(view.positions, view.sent);
  clearTimeout(view.again);
  view.again = setTimeout(() => { if (tries > 1 && view.answers < view.sent) send(view, tries - 1); }, PATIENCE_MS);
}

function frozen(positions) {
  const first = positions.findIndex((position) => position !== "freeze");
  return first < 0 ? positions.length : first;
}

function percent(share) {
  return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`;
}

function end(kind, text, help = "") {
  const node = element("span", `end ${kind}`, text);
  node.title = help;
  return node;
}

function icon(position) {
  const box = element("span", "icon");
  box.setAttribute("aria-hidden", "true");
  box.innerHTML = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round">${ICONS[position]}</svg>`;
  return box;
}

function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== "" && child !== undefined));
  return node;
}
