// The price of a freezing. The ladder says in the same frame where its parts stand ("studio-ladder" on the document); the
// server sends the price of each place it can be moved to next, so nothing has to be asked while a handle moves.

const SPOKEN_MS = 700;  // a screen reader is told when the handle rests, not at each step

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".price");
  const view = (root.view ??= {});
  view.data = data;
  const made = JSON.stringify(data.tags);
  if (view.made !== made) {
    Object.assign(view, { made, parts: build(root, data.tags), shown: null });
  }
  if (!view.listen) {
    view.listen = (event) => { view.heard = event.detail; paint(view); };
    document.addEventListener("studio-ladder", view.listen);
  }
  paint(view);
  // Streamlit cleans up before each call, not only at the end.
  return () => setTimeout(() => {
    if (root.isConnected) return;
    document.removeEventListener("studio-ladder", view.listen);
    clearTimeout(view.timer);
    view.listen = null;
  }, 0);
}

function build(root, tags) {
  const values = [];
  const tiles = tags.map(({ label, help, value, asks }, index) => {
    const name = element("span", "price-name", label);
    const button = element("button", "price-help", "?");
    const tip = element("span", "price-tip", help);
    Object.assign(button, { type: "button" });
    tip.id = `price-tip-${index}`;
    tip.setAttribute("role", "tooltip");
    button.setAttribute("aria-label", asks);
    button.setAttribute("aria-describedby", tip.id);
    const tile = element("div", "price-tile", element("div", "price-label", name, button), tip);
    // Escape closes what hover or focus opened, and both open it again (WCAG 1.4.13).
    const close = (event) => { if (event.key === "Escape") tile.classList.add("closed"); };
    button.addEventListener("keydown", close);
    for (const again of ["blur", "mouseenter"]) button.addEventListener(again, () => tile.classList.remove("closed"));
    const shown = element("div", "price-value", value ?? "");
    if (value == null) values.push(shown);
    tile.append(shown);
    return tile;
  });
  const share = element("div", "price-share"), bar = element("div", "price-bar", element("i"));
  bar.setAttribute("role", "progressbar");
  const spoken = element("div", "price-spoken");
  spoken.setAttribute("aria-live", "polite");
  root.replaceChildren(element("div", "price-tiles", ...tiles), share, bar, spoken);
  return { values, share, bar, spoken, names: tags.filter((tag) => tag.value == null).map((tag) => tag.label) };
}

function paint(view) {
  const { data, parts, heard } = view;
  const wanted = heard?.length === data.positions.length ? heard : data.positions;
  const price = data.prices[pattern(wanted)];
  parts.bar.parentElement.classList.toggle("waiting", !price);
  const shown = price ?? (view.shown ? null : data.prices[pattern(data.positions)]);
  if (!shown) return;
  const text = JSON.stringify(shown);
  if (text === view.shown) return;
  parts.values.forEach((value, index) => { value.textContent = shown.values[index]; });
  parts.share.textContent = shown.text;
  parts.bar.firstChild.style.width = `${100 * shown.share}%`;
  parts.bar.setAttribute("aria-valuenow", Math.round(100 * shown.share));
  parts.bar.setAttribute("aria-valuetext", shown.text);
  parts.bar.setAttribute("aria-label", parts.names[0]);
  clearTimeout(view.timer);
  if (view.shown) {
    view.timer = setTimeout(() => {
      parts.spoken.textContent = parts.names.map((name, index) => `${name}: ${shown.values[index]}`).join("; ");
    }, SPOKEN_MS);
  }
  view.shown = text;
}

/** What a price depends on; pages/shared/model/price.py says the same. */
function pattern(positions) {
  const learns = positions.map((position) => position === "freeze" ? "f" : "l").join("");
  return learns + (positions.includes("anchor") ? "+" : "");
}

function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}
