// A map of photos on a canvas. What is selected is drawn here at once; Python hears of it as places in the map's list.
// Each class has a colour and a shape of its own (6 × 6); a ring is a wrong answer.

const REACH = 14;      // pixels around a point in which it is meant
const STILL = 5;       // pixels a click may move
const CLOSEST = 1 / 64; // of the map's width can be seen at once
const SPLITS = ["train", "validation", "test"];
const SHAPES = [
  (r) => circle(r), (r) => polygon([[-r, -r], [r, -r], [r, r], [-r, r]], 0.88), (r) => polygon([[0, -r], [r, r * 0.8], [-r, r * 0.8]], 1.2),
  (r) => polygon([[0, -r], [r, 0], [0, r], [-r, 0]], 1.25), (r) => polygon([[0, r], [r, -r * 0.8], [-r, -r * 0.8]], 1.2),
  (r) => polygon([[-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1]].map(([x, y]) => [x * r / 3, y * r / 3]), 1.2),
];

function circle(r) { return `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`; }
function polygon(corners, by) { return `M${corners.map(([x, y]) => `${(x * by).toFixed(2)} ${(y * by).toFixed(2)}`).join("L")}Z`; }
function look(index, palette) { return { ink: palette[index % 6], shape: SHAPES[(index + Math.floor(index / 6)) % 6] }; }

export default function ({ parentElement, data, setStateValue }) {
  const root = parentElement.querySelector(".atlas");
  const key = `${data.address} ${data.words.how}`;
  if (root.view?.key !== key) {
    const before = root.view;
    before?.stop();
    root.view = begin(root, data, key, before?.address === data.address ? before.chosen : new Set());
  }
  root.view.send = (places) => setStateValue("chosen", { of: data.address, places });
  root.view.draw();
  // Streamlit cleans up before each call, not only at the end.
  return () => setTimeout(() => { if (!root.isConnected) root.view?.stop(); }, 0);
}

function begin(root, data, key, chosen) {
  const { words, palette } = data, numbers = new Intl.NumberFormat(data.language);
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-label": data.alt, "aria-describedby": "atlas-how" });
  const card = make("div", { class: "card", "aria-hidden": "true" }), spoken = make("p", { class: "spoken", "aria-live": "polite" });
  const status = make("strong", { role: "status" }, words.loading);
  const classes = make("div", { class: "classes", role: "group", "aria-label": words.classes });
  const splits = make("select", { "aria-label": words.split });
  const wrong = make("input", { type: "checkbox" });
  const wrongLabel = make("label");
  const all = button(words.all, () => choose(shown())), clear = button(words.clear, () => choose([]));
  const draws = button(words.draw, () => {
    const on = canvas.classList.toggle("drawing");
    draws.setAttribute("aria-pressed", String(on));
  }, "draw");
  draws.setAttribute("aria-pressed", "false");
  draws.title = words.draw_help;
  const nearer = button(words.zoom_in, () => zoomIn()), farther = button(words.zoom_out, () => zoom(2));
  const whole = button(words.whole, () => frame(0, 0, 1));
  wrongLabel.append(wrong, words.wrong_only);
  const legend = make("div", { class: "legend" }), stage = make("div", { class: "stage" }), bar = make("div", { class: "bar" });
  legend.append(classes, splits, wrongLabel, make("p", { class: "ring" }, words.ring));
  stage.append(canvas, card, spoken);
  bar.append(status, all, clear, draws, nearer, farther, whole);
  root.replaceChildren(stage, legend, bar, make("p", { class: "how", id: "atlas-how" }, words.how));
  card.hidden = legend.hidden = true;
  all.disabled = clear.disabled = nearer.disabled = farther.disabled = whole.disabled = true;

  const view = { key, address: data.address, chosen, points: [], at: null, path: null, hidden: new Set(), send() {}, draw, stop };
  const seen = { x: 0, y: 0, size: 1 };  // the square of the map that is seen; all of it is 1 wide
  let looks = [], shapes = [], side = 0, stopped = false;

  fetch(data.address).then((answer) => answer.ok ? answer.json() : Promise.reject(answer.status)).then((found) => {
    if (stopped) return;
    view.points = found.points;
    const names = [...found.classes, ...new Set(found.points.map((point) => point.label).filter((name) => !found.classes.includes(name)))];
    const numbersOf = new Map(names.map((name, index) => [name, index]));
    for (const point of view.points) { point.number = numbersOf.get(point.label); point.wrong = point.label !== point.predicted; }
    looks = names.map((_, index) => look(index, palette));
    legendOf(names);
    legend.hidden = false;
    canvas.dataset.ready = "true";
    resize();
    tell();
  }).catch(() => { if (!stopped) status.textContent = words.gone; });

  function legendOf(names) {
    const counts = new Array(names.length).fill(0);
    for (const point of view.points) counts[point.number] += 1;
    classes.replaceChildren(...names.map((name, index) => {
      const choice = make("button", { type: "button", "aria-pressed": "true", title: name });
      choice.innerHTML = `<svg viewBox="-8 -8 16 16" aria-hidden="true"><path d="${looks[index].shape(6)}" fill="${looks[index].ink}"/></svg>`;
      choice.append(make("span", {}, name), make("small", {}, numbers.format(counts[index])));
      choice.onclick = () => {
        view.hidden.has(index) ? view.hidden.delete(index) : view.hidden.add(index);
        choice.setAttribute("aria-pressed", String(!view.hidden.has(index)));
        filtered();
      };
      return choice;
    }));
    const there = SPLITS.filter((split) => view.points.some((point) => point.split === split));
    splits.replaceChildren(make("option", { value: "" }, words.all_splits), ...there.map((split) => make("option", { value: split }, words[`split_${split}`])));
    splits.onchange = wrong.onchange = filtered;
  }

  function visible(point) {
    return !view.hidden.has(point.number) && (!splits.value || point.split === splits.value) && (!wrong.checked || point.wrong);
  }
  function inside(point) { return seen.size === 1 || at(point).every((value) => value >= 0 && value <= side); }
  function shown() { return view.points.flatMap((point, place) => visible(point) && inside(point) ? [place] : []); }
  // What is selected is what one sees: points that a filter hides are selected no longer.
  function filtered() {
    if (view.at !== null && !visible(view.points[view.at])) show(null);
    choose([...view.chosen].filter((place) => visible(view.points[place])));
  }

  function choose(places) {
    const next = [...new Set(places)].sort((one, other) => one - other);
    const same = next.length === view.chosen.size && next.every((place) => view.chosen.has(place));
    view.chosen = new Set(next);
    tell();
    draw();
    if (!same) view.send(next);
  }
  function toggle(place) {
    const next = new Set(view.chosen);
    next.has(place) ? next.delete(place) : next.add(place);
    choose(next);
  }
  function tell() {
    const count = shown().length;
    status.textContent = words.status.replace("{shown}", numbers.format(count)).replace("{selected}", numbers.format(view.chosen.size));
    all.disabled = !count;
    clear.disabled = !view.chosen.size;
    nearer.disabled = !view.points.length || seen.size <= CLOSEST;
    farther.disabled = whole.disabled = seen.size >= 1;
  }

  // Zoom

  /** See the square that begins at x, y; it stays within the map. */
  function frame(x, y, size) {
    seen.size = Math.min(1, Math.max(CLOSEST, size));
    seen.x = Math.min(1 - seen.size, Math.max(0, x));
    seen.y = Math.min(1 - seen.size, Math.max(0, y));
    const kept = view.at;
    show(null);
    resize();
    tell();
    if (kept !== null && inside(view.points[kept])) show(kept);
  }
  /** So many times as much as now, around a place of the map that stays where it is. */
  function zoom(times, { x, y } = { x: seen.x + seen.size / 2, y: seen.y + seen.size / 2 }) {
    const size = Math.min(1, Math.max(CLOSEST, seen.size * times)), kept = size / seen.size;
    frame(x - (x - seen.x) * kept, y - (y - seen.y) * kept, size);
  }
  /** To what is selected, as long as that brings it nearer; else to the point with the ring, or to the middle. */
  function zoomIn() {
    const meant = [...view.chosen].map((place) => view.points[place]);
    const xs = meant.map((point) => point.x), ys = meant.map((point) => point.y);
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const size = Math.max(seen.size / 4, 1.15 * Math.max(right - left, high - low));
    if (meant.length && size < 0.9 * seen.size) frame((left + right - size) / 2, (low + high - size) / 2, size);
    else if (view.at !== null) centre(view.points[view.at], seen.size / 2);
    else zoom(0.5);
  }
  function centre({ x, y }, size) { frame(x - size / 2, y - size / 2, size); }

  // Drawing

  function pad() { return Math.max(14, side * 0.03); }
  function at(point) {
    const wide = (side - 2 * pad()) / seen.size;
    return [pad() + (point.x - seen.x) * wide, side - pad() - (point.y - seen.y) * wide];
  }
  function place_of([x, y]) {
    const wide = (side - 2 * pad()) / seen.size;
    return { x: seen.x + (x - pad()) / wide, y: seen.y + (side - pad() - y) / wide };
  }
  function radius() { return (view.points.length > 2000 ? 3.2 : view.points.length > 400 ? 4.2 : 5.5) * Math.min(1, Math.max(0.8, side / 480)) * Math.min(2, seen.size ** -0.4); }

  function resize() {
    const wide = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    if (!wide) return;
    side = wide;
    canvas.width = canvas.height = Math.round(wide * ratio);
    shapes = looks.map((each) => new Path2D(each.shape(radius())));
    draw();
  }

  function draw() {
    if (!side || !view.points.length) return;
    const pen = canvas.getContext("2d"), ratio = canvas.width / side, text = getComputedStyle(root).color, r = radius();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, side, side);
    const some = view.chosen.size > 0, ring = new Path2D(circle(r + 2.6)), around = new Path2D(circle(r + 6.5));
    const layers = [[], []];
    view.points.forEach((point, place) => { if (visible(point)) layers[view.chosen.has(place) ? 1 : 0].push(place); });
    layers.forEach((places, on) => {
      for (const place of places) {
        const point = view.points[place], [x, y] = at(point);
        pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
        pen.globalAlpha = some && !on ? 0.3 : 0.9;
        pen.fillStyle = looks[point.number].ink;
        pen.fill(shapes[point.number]);
        pen.strokeStyle = text;
        if (on) { pen.globalAlpha = 1; pen.lineWidth = 1.6; pen.stroke(shapes[point.number]); }
        if (point.wrong) { pen.lineWidth = 1.2; pen.stroke(ring); }
        if (place === view.at) { pen.globalAlpha = 1; pen.lineWidth = 2.5; pen.strokeStyle = "#d9622b"; pen.stroke(around); }
      }
    });
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.globalAlpha = 1;
    if (view.path?.length > 1) {
      const line = new Path2D(`M${view.path.map((place) => place.join(" ")).join("L")}`);
      pen.strokeStyle = text;
      pen.lineWidth = 1.5;
      pen.setLineDash([5, 4]);
      pen.stroke(line);
      pen.setLineDash([]);
      pen.globalAlpha = 0.1;
      pen.fillStyle = text;
      pen.fill(line);
      pen.globalAlpha = 1;
    }
  }

  // One point: hovered, or where the arrow keys are

  function show(place, aloud = false) {
    if (place === view.at && !aloud) return;
    view.at = place;
    card.hidden = place === null;
    if (place !== null) {
      const point = view.points[place];
      if (!inside(point)) centre(point, seen.size);  // the arrow keys go on beyond what is seen
      const [x, y] = at(point);
      const says = (point.wrong ? words.wrong : words.right).replace("{label}", () => point.label).replace("{predicted}", () => point.predicted)
        .replace("{percent}", Math.round(100 * point.probability));
      const line = `${says} · ${words[`split_${point.split}`]}`;
      card.replaceChildren(make("img", { src: `/thumbnails/${point.sha256}.webp`, alt: "" }), make("span", {}, line));
      const wide = 168, high = card.offsetHeight || 190;
      card.style.left = `${Math.max(0, Math.min(side - wide, x < side / 2 ? x + 16 : x - wide - 16))}px`;
      card.style.top = `${Math.max(0, Math.min(side - high, y - high / 2))}px`;
      if (aloud) spoken.textContent = [words.point.replace("{file}", () => point.file), line, view.chosen.has(place) && words.chosen].filter(Boolean).join(" · ");
    }
    draw();
  }

  function nearest([x, y], reach = Infinity) {
    let found = null, least = reach * reach;
    view.points.forEach((point, place) => {
      if (!visible(point)) return;
      const [left, top] = at(point), apart = (left - x) ** 2 + (top - y) ** 2;
      if (apart <= least) { least = apart; found = place; }
    });
    return found;
  }

  /** The nearest point in a direction, within 45° of it; what lies aside counts as further away. */
  function beyond(from, [dx, dy]) {
    const [x, y] = at(view.points[from]);
    let found = null, least = Infinity;
    view.points.forEach((point, place) => {
      if (place === from || !visible(point)) return;
      const [left, top] = at(point), along = (left - x) * dx + (top - y) * dy, aside = Math.abs((left - x) * dy) + Math.abs((top - y) * dx);
      if (along <= 0.01 || aside > along) return;
      const far = along + 2 * aside;
      if (far < least) { least = far; found = place; }
    });
    return found;
  }

  canvas.onkeydown = (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!view.points.length) return;
    if (step) {
      const next = view.at === null ? nearest([side / 2, side / 2]) : beyond(view.at, step);
      if (next !== null) show(next, true);
    } else if ((event.key === "Enter" || event.key === " ") && view.at !== null) { toggle(view.at); show(view.at, true); }
    else if (event.key === "Escape") choose([]);
    else if (event.key === "+" || event.key === "=") zoomIn();
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") frame(0, 0, 1);
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) choose(shown());
    else return;
    event.preventDefault();
  };
  canvas.onfocus = () => { if (view.at === null && canvas.matches(":focus-visible")) show(nearest([side / 2, side / 2]), true); };
  canvas.onblur = () => show(null);

  // Mouse, pen and finger. A finger scrolls the page unless drawing is switched on, and what it selects is added.

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  // Without Ctrl the wheel scrolls the page; a trackpad's pinch arrives as one with Ctrl.
  canvas.addEventListener("wheel", (event) => {
    if (!(event.ctrlKey || event.metaKey) || !view.points.length) return;
    event.preventDefault();
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 150), place_of(place(event)));
  }, { passive: false });
  let begun = null;
  canvas.onpointerdown = (event) => {
    if (event.button || !event.isPrimary) return;
    begun = { from: place(event), adds: event.shiftKey || event.pointerType === "touch" };
    if (event.pointerType !== "touch" || canvas.classList.contains("drawing")) {
      canvas.setPointerCapture(event.pointerId);
      view.path = [begun.from];
    }
  };
  canvas.onpointermove = (event) => {
    if (!view.path) return show(nearest(place(event), REACH));
    view.path.push(place(event));
    if (far(view.path.at(-1), view.path[0])) begun.moved = true;
    if (begun.moved) show(null);
    draw();
  };
  canvas.onpointerup = (event) => {
    if (!begun) return;
    const { from, adds, moved } = begun, path = view.path, to = place(event);
    begun = view.path = null;
    if (moved) {
      const caught = view.points.flatMap((point, index) => visible(point) && inside(point) && within(at(point), path) ? [index] : []);
      choose(adds ? [...view.chosen, ...caught] : caught);
    } else if (!far(from, to)) {
      const meant = nearest(to, REACH);
      if (meant !== null) {
        if (adds) toggle(meant); else choose(view.chosen.size === 1 && view.chosen.has(meant) ? [] : [meant]);
        show(meant);
      }
    }
    draw();
  };
  canvas.onpointercancel = () => { begun = view.path = null; draw(); };
  canvas.onpointerleave = (event) => { if (event.pointerType !== "touch" && !view.path && root.getRootNode().activeElement !== canvas) show(null); };

  const watched = new ResizeObserver(resize), dark = matchMedia("(prefers-color-scheme: dark)");
  watched.observe(canvas);
  dark.addEventListener("change", draw);
  function stop() {
    stopped = true;
    watched.disconnect();
    dark.removeEventListener("change", draw);
  }
  return view;
}

function far([x, y], [left, top]) { return Math.hypot(x - left, y - top) > STILL; }

/** Whether a place lies inside a closed line: how often a ray from it crosses. */
function within([x, y], line) {
  let inside = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i, i += 1) {
    const [ax, ay] = line[i], [bx, by] = line[j];
    if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

function button(label, click, kind = "") {
  const made = make("button", { type: "button", class: kind }, label);
  made.onclick = click;
  return made;
}

function make(tag, attributes = {}, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
