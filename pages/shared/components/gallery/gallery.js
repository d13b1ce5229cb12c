// A grid of thumbnails. Click or Space selects, Shift selects a range, Enter or a double click looks closer.
// What is selected stays in the browser; only "move", "keep" and "delete" go to Python, so that a click answers at once.

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector("#gallery");
  const view = (root.view ??= { chosen: new Set(), at: 0, anchor: 0 });
  const { items, classes, words } = data;
  const known = new Set(items.map((item) => item.id));
  view.chosen = new Set([...view.chosen].filter((id) => known.has(id)));
  view.at = Math.min(view.at, Math.max(0, items.length - 1));
  const numbers = new Intl.NumberFormat(data.language);

  const grid = make("ul", { class: "grid", role: "listbox", "aria-multiselectable": "true", "aria-label": data.label, "aria-describedby": "how" });
  const cells = items.map((item, index) => cell(item, index));
  grid.append(...cells);
  const bar = make("div", { class: "bar", role: "toolbar", "aria-label": words.actions });
  const how = make("p", { class: "hint", id: "how" }, words.how);
  const focused = root.getRootNode().activeElement?.getAttribute("role") === "option";
  root.replaceChildren(bar, grid);
  show();
  if (focused) cells[view.at]?.focus();

  function cell(item, index) {
    const option = make("li", { role: "option", "data-id": item.id, title: item.name });
    const picture = make("img", { src: item.thumbnail, alt: item.name, loading: "lazy", decoding: "async", width: 320, height: 320 });
    picture.onerror = () => option.classList.add("missing");
    const look = make("button", { type: "button", class: "look", tabindex: -1, "aria-hidden": "true" }, "⤢");
    look.onclick = (event) => { event.stopPropagation(); open(index); };
    option.append(picture, make("span", { class: "tick", "aria-hidden": "true" }, "✓"), look);
    if (item.note) option.append(make("span", { class: `note ${item.kind ?? ""}` }, item.note));
    option.onclick = (event) => {
      if (event.shiftKey) range(view.anchor, index); else { toggle(item.id); view.anchor = index; }
      view.at = index;
      show();
      option.focus({ preventScroll: true });
    };
    option.ondblclick = () => open(index);
    return option;
  }

  function toggle(id) { view.chosen.has(id) ? view.chosen.delete(id) : view.chosen.add(id); }
  function range(from, to) { for (let i = Math.min(from, to); i <= Math.max(from, to); i += 1) view.chosen.add(items[i].id); }
  function columns() { return getComputedStyle(grid).gridTemplateColumns.split(" ").length; }

  grid.onkeydown = (event) => {
    if (!items.length) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -items.length, End: items.length }[event.key];
    if (step) {
      view.at = Math.max(0, Math.min(items.length - 1, view.at + step));
      if (event.shiftKey) range(view.anchor, view.at); else view.anchor = view.at;
    } else if (event.key === " ") { toggle(items[view.at].id); view.anchor = view.at; }
    else if (event.key === "Enter") open(view.at);
    else if (event.key === "Escape") view.chosen.clear();
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) items.forEach((item) => view.chosen.add(item.id));
    else return;
    event.preventDefault();
    show();
    if (event.key !== "Enter") cells[view.at].focus();
  };

  function show() {
    cells.forEach((option, index) => {
      option.setAttribute("aria-selected", String(view.chosen.has(option.dataset.id)));
      option.tabIndex = index === view.at ? 0 : -1;
    });
    bar.replaceChildren();
    if (!view.chosen.size) return bar.append(how);
    bar.append(make("strong", { role: "status" }, words.selected.replace("{count}", numbers.format(view.chosen.size))));
    if (classes.length) {
      const to = make("select", { "aria-label": words.move_to });
      to.append(make("option", { value: "" }, words.move_to), ...classes.map((name) => make("option", { value: name }, name)));
      to.onchange = () => to.value && act("move", to.value);
      bar.append(to);
    }
    if (data.can_keep) bar.append(button(words.keep, () => act("keep")));
    bar.append(button(words.delete, () => act("delete")), button(words.clear, () => { view.chosen.clear(); show(); cells[view.at]?.focus(); }, "bare"));
  }

  function act(what, to = null) {
    setTriggerValue("asked", { do: what, to, ids: [...view.chosen] });
    view.chosen.clear();
    show();
  }

  function open(index) {
    const box = make("dialog", { "aria-label": words.closer });
    const picture = make("img", {});
    const text = make("p", {});
    const turn = (by) => {
      index = (index + by + items.length) % items.length;
      picture.src = items[index].full;
      picture.alt = items[index].name;
      text.textContent = [items[index].name, items[index].detail].filter(Boolean).join(" · ");
    };
    const close = button("×", () => box.close(), "close");
    close.setAttribute("aria-label", words.close);
    const back = button("‹", () => turn(-1), "back"), next = button("›", () => turn(1), "next");
    back.setAttribute("aria-label", words.previous);
    next.setAttribute("aria-label", words.next);
    box.append(picture, text, back, next, close);
    box.onkeydown = (event) => { if (event.key === "ArrowLeft") turn(-1); else if (event.key === "ArrowRight") turn(1); };
    box.onclick = (event) => event.target === box && box.close();
    box.onclose = () => { box.remove(); view.at = index; show(); cells[index]?.focus(); };
    turn(0);
    root.append(box);
    box.showModal();
  }
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
