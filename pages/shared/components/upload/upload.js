// Takes files from a person and sends them to the studio, straight from disk to disk.
// Nothing is held in memory: the browser streams each File, the server writes each stream.
// States: idle → collecting (reading dropped folders) → sending → failed (some files) → done (Python takes over).

const LANES = 4; // browsers open six connections to one host; the page needs some for itself
const ATTEMPTS = 4;
// Small files share a request: 2,100 files a second instead of 69 (files of 270 bytes, two cores).
const SMALL = 1e6, PARCEL_BYTES = 4e6, PARCEL_FILES = 250;
const ICON = `<svg viewBox="0 0 64 48" aria-hidden="true"><path d="M4 12h18l5 5h33v27H4z" class="folder"/>
  <rect x="16" y="3" width="22" height="17" rx="2" class="photo" transform="rotate(-7 27 11)"/>
  <rect x="29" y="1" width="22" height="18" rx="2" class="photo" transform="rotate(8 40 10)"/>
  <path d="M4 20h56l-4 24H8z" class="front"/></svg>`;

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector("#upload");
  const studio = (root.studio ??= { mode: "drop", classes: [newClass(), newClass()], job: null });
  studio.words = data.words;
  studio.language = data.language;
  studio.numbers = new Intl.NumberFormat(data.language);
  studio.done = (upload) => setTriggerValue("uploaded", upload);
  studio.draw = () => draw(root, studio);
  studio.here = () => root.isConnected;
  studio.begin = (entries) => start(studio, entries);
  studio.deaf ??= takesStrayDrops(root, studio);
  if (!studio.job) studio.draw();
  // Streamlit also calls this when two updates overtake each other; only a component that has left the page gives up its upload.
  return () => setTimeout(() => {
    if (root.isConnected) return;
    studio.deaf?.();
    studio.deaf = null;
    if (studio.job?.state !== "done") studio.job?.stop();
  });
}

const newClass = () => ({ name: "", files: [] });

// ---- What is on screen

function draw(root, studio) {
  root.replaceChildren();
  root.dataset.state = studio.job ? studio.job.state : "idle";
  if (studio.job) return drawJob(root, studio);
  const { words } = studio;
  const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": words.how });
  for (const mode of ["drop", "classes"]) {
    const tab = make("button", { type: "button", role: "tab", id: `tab-${mode}`, "aria-controls": "panel",
                                 "aria-selected": String(studio.mode === mode), tabindex: studio.mode === mode ? 0 : -1 }, words[`tab_${mode}`]);
    tab.onclick = () => { studio.mode = mode; studio.draw(); };
    tab.onkeydown = (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      studio.mode = mode === "drop" ? "classes" : "drop";
      studio.draw();
      root.querySelector("[aria-selected=true]").focus();
    };
    tabs.append(tab);
  }
  const panel = make("div", { id: "panel", role: "tabpanel", "aria-labelledby": `tab-${studio.mode}` });
  root.append(tabs, panel);
  if (studio.mode === "drop") drawZone(panel, studio); else drawClasses(panel, studio);
}

function drawZone(panel, studio) {
  const { words } = studio;
  const zone = make("div", { class: "zone", role: "group", "aria-label": words.drop });
  const art = make("div", { class: "art" });
  art.innerHTML = ICON; // our own constant
  const buttons = make("div", { class: "buttons" });
  const choose = make("button", { type: "button", class: "primary" }, words.choose_folder);
  const files = make("button", { type: "button" }, words.choose_files);
  choose.onclick = () => ask({ directory: true }, (list) => studio.begin(pathsOf(list)));
  files.onclick = () => ask({}, (list) => studio.begin(pathsOf(list)));
  buttons.append(choose, files);
  zone.append(art, make("p", { class: "title" }, words.drop), make("p", { class: "hint" }, words.drop_hint), buttons);
  if (studio.notice) zone.append(make("p", { class: "reason", role: "alert" }, studio.notice));
  studio.notice = "";
  takesDrops(zone, studio, studio.begin);
  panel.append(zone);
}

function drawClasses(panel, studio) {
  const { words, numbers } = studio;
  panel.append(make("p", { class: "hint" }, words.classes_hint));
  studio.classes.forEach((each, index) => {
    const row = make("div", { class: "class" });
    const name = make("input", { type: "text", maxlength: 120, placeholder: words[index % 2 ? "class_example_2" : "class_example_1"],
                                 "aria-label": words.class_name.replace("{number}", index + 1), value: each.name });
    name.oninput = () => { each.name = name.value; ready(); };
    const add = make("button", { type: "button", class: "add" },
                     each.files.length ? words.photos.replace("{count}", numbers.format(each.files.length)) : words.add_photos);
    add.onclick = () => ask({}, (list) => take(each, pathsOf(list)));
    row.append(name, add);
    if (studio.classes.length > 1 || each.files.length) {
      const remove = make("button", { type: "button", class: "bare", "aria-label": words.remove_class.replace("{name}", each.name || index + 1) }, "×");
      remove.onclick = () => { studio.classes.splice(index, 1); if (!studio.classes.length) studio.classes.push(newClass()); studio.draw(); };
      row.append(remove);
    }
    takesDrops(row, studio, (entries) => take(each, entries));
    panel.append(row);
  });
  const take = (each, entries) => {
    // A dropped folder names the class when nobody has.
    const folder = entries[0]?.path.split("/").slice(-2, -1)[0];
    if (!each.name.trim() && folder) each.name = folder;
    each.files = each.files.concat(entries.map((entry) => entry.file).filter(Boolean));
    studio.draw();
  };
  const more = make("button", { type: "button", class: "bare" }, `+ ${words.another_class}`);
  more.onclick = () => { studio.classes.push(newClass()); studio.draw(); [...panel.getRootNode().querySelectorAll("input")].at(-1).focus(); };
  const send = make("button", { type: "button", class: "primary" });
  send.onclick = () => start(studio, filled().flatMap((each) => each.files.map((file) => ({ file, path: `${each.name.trim().replace(/[/\\]/g, "-")}/${file.name}` }))));
  const filled = () => studio.classes.filter((each) => each.name.trim() && each.files.length);
  const ready = () => {
    const count = filled().reduce((sum, each) => sum + each.files.length, 0);
    send.disabled = filled().length === 0 || studio.classes.some((each) => each.files.length && !each.name.trim());
    send.textContent = words.send_classes.replace("{count}", numbers.format(count)).replace("{classes}", filled().length);
    send.hidden = count === 0;
  };
  ready();
  const foot = make("div", { class: "foot" });
  foot.append(more, send);
  panel.append(foot);
}

function drawJob(root, studio) {
  const { words, job } = studio;
  const panel = make("div", { class: "sending" });
  studio.view = { line: make("p", { class: "title", role: "status" }), bar: make("progress"), size: make("p", { class: "hint" }) };
  panel.append(...Object.values(studio.view));
  const buttons = make("div", { class: "buttons" });
  const button = (label, click, kind = "") => { const made = make("button", { type: "button", class: kind }, label); made.onclick = click; buttons.append(made); };
  if (job.state === "failed") {
    panel.append(make("p", { class: "reason", role: "alert" }, job.reason));
    button(words.retry, () => job.retry(), "primary");
    if (job.sent) button(words.go_on, () => job.finish());
  }
  button(job.state === "done" ? words.again : words.cancel, () => { job.stop(); studio.job = null; studio.draw(); root.querySelector("button")?.focus(); });
  panel.append(buttons);
  root.append(panel);
  drawProgress(studio);
}

/** Move the bar and leave the buttons alone, so that a focused or half-clicked one stays. */
function drawProgress({ view, job, words, numbers }) {
  view.line.textContent = words[job.state].replace("{done}", numbers.format(job.sent)).replace("{total}", numbers.format(job.total))
    .replace("{failed}", numbers.format(job.failed.length));
  view.bar.setAttribute("aria-label", view.line.textContent);
  if (job.state === "collecting") return view.bar.removeAttribute("value"); // how many there will be is not known yet
  view.bar.max = Math.max(1, job.bytes);
  view.bar.value = job.state === "done" ? view.bar.max : Math.min(job.bytes, job.arrived);
  view.size.textContent = `${size(Math.min(job.bytes, job.arrived), numbers)} / ${size(job.bytes, numbers)}`;
}

function make(tag, attributes = {}, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function size(bytes, numbers) {
  const step = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  const value = bytes / step[1];
  return `${numbers.format(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))} ${step[0]}`;
}

// ---- Where files come from

function ask({ directory = false }, then) {
  const input = make("input", { type: "file", multiple: "" });
  if (directory) input.webkitdirectory = true;
  input.onchange = () => input.files.length && then([...input.files]);
  input.click();
}

const pathsOf = (files) => files.map((file) => ({ file, path: file.webkitRelativePath || file.name }));

function takesDrops(element, studio, then) {
  let inside = 0; // children fire enter and leave too
  element.ondragenter = (event) => { event.preventDefault(); inside += 1; element.classList.add("over"); };
  element.ondragleave = () => { inside -= 1; if (inside <= 0) element.classList.remove("over"); };
  element.ondragover = (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; };
  element.ondrop = async (event) => {
    event.preventDefault();
    inside = 0;
    element.classList.remove("over");
    await take(event.dataTransfer, studio, then);
  };
}

/** Beside the zone a browser would open what is dropped, and leave the page. Returns how to stop listening. */
function takesStrayDrops(root, studio) {
  const hasFiles = (event) => !event.defaultPrevented && event.dataTransfer?.types.includes("Files");
  const free = () => root.isConnected && !studio.job && studio.mode === "drop";
  const over = (event) => { if (hasFiles(event)) { event.preventDefault(); event.dataTransfer.dropEffect = free() ? "copy" : "none"; } };
  const drop = (event) => { if (hasFiles(event)) { event.preventDefault(); if (free()) take(event.dataTransfer, studio, studio.begin); } };
  addEventListener("dragover", over);
  addEventListener("drop", drop);
  return () => { removeEventListener("dragover", over); removeEventListener("drop", drop); };
}

/** Read what was dropped, folders to their ends, and hand it on. A large folder takes seconds: the page says so. */
async function take(transfer, studio, then) {
  // The list is emptied when the drop's handler returns, so everything is asked for before the first await.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const roots = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  const found = [];
  const job = { state: "collecting", stopped: false, failed: [], bytes: 0, arrived: 0, sent: 0, get total() { return found.length; }, stop() { this.stopped = true; } };
  studio.job = job;
  studio.draw();
  let drawn = performance.now();
  const moved = () => { if (performance.now() - drawn > 120) { drawn = performance.now(); drawProgress(studio); } return !job.stopped; };
  for (const each of roots) await walk(each, "", found, moved);
  if (job.stopped) return;
  studio.job = null;
  if (!found.length) studio.notice = studio.words.nothing;
  studio.draw();
  if (found.length) then(found);
}

async function walk(entry, folder, found, moved) {
  if (entry instanceof File) found.push({ file: entry, path: entry.name });
  else if (entry.isFile) found.push(await fileOf(entry, folder));
  else {
    const below = `${folder}${entry.name}/`;
    const reader = entry.createReader();
    for (let some = []; moved();) {
      // A reader gives at most 100 entries at a time, and an empty list at the end.
      try { some = await new Promise((ok, bad) => reader.readEntries(ok, bad)); } catch { return; } // a folder that may not be read
      if (!some.length) return;
      found.push(...await Promise.all(some.filter((child) => child.isFile).map((child) => fileOf(child, below))));
      for (const child of some) if (child.isDirectory) await walk(child, below, found, moved);
    }
  }
}

/** Without `file` when it cannot be read now: it is tried again when it is sent, and counts as failed then. */
async function fileOf(entry, folder) {
  const file = await new Promise((ok) => entry.file(ok, () => ok(null)));
  return { file, entry, path: folder + entry.name };
}

// ---- Sending

function start(studio, entries) {
  const used = new Set();
  const files = entries.map(({ file, entry, path }) => ({ file, entry, path: unused(path, used) }));
  const job = {
    state: "sending", language: studio.language, total: files.length, sent: 0, failed: [], reason: "", upload: null, stopped: false, requests: new Set(),
    bytes: files.reduce((sum, each) => sum + (each.file?.size ?? 0), 0), arrived: 0,
    stop() { this.stopped = true; removeEventListener("beforeunload", warn); for (const request of this.requests) request.abort(); },
    retry() { const again = this.failed; this.failed = []; run(again); },
    finish() {
      removeEventListener("beforeunload", warn);
      this.state = "done";
      studio.draw();
      const upload = { upload: this.upload, files: this.sent, bytes: this.bytes, name: nameOf(files) };
      studio.done(upload);
      // Said to a server that just restarted it is lost; the page goes on, and this component goes away, once it was heard.
      const again = setInterval(() => { if (studio.job === job && studio.here()) studio.done(upload); else clearInterval(again); }, 5000);
    },
  };
  studio.job = job;
  const warn = (event) => event.preventDefault(); // leaving would lose what has not been sent yet
  addEventListener("beforeunload", warn);
  let drawn = 0;
  const progress = () => {
    if (job.stopped || performance.now() - drawn < 120) return;
    drawn = performance.now();
    drawProgress(studio);
  };

  async function run(again) {
    job.state = "sending";
    studio.draw();
    const queue = parcels(again).reverse();
    let halted = false;
    const lane = async () => {
      while (queue.length && !job.stopped && !halted) {
        const parcel = queue.pop();
        try {
          await send(job, parcel, progress);
          job.sent += parcel.length;
        } catch (error) {
          if (job.stopped) return;
          if (await hopeless(job, error)) {
            halted = true;
            job.failed.push(...parcel);
          } else if (parcel.length > 1) {
            queue.push(...parcel.map((each) => [each])); // one of them is to blame
            continue;
          } else job.failed.push(...parcel);
          job.reason = error.reason || (halted ? studio.words.no_answer : studio.words.unreadable.replace("{file}", parcel[0].path));
        }
        progress();
      }
    };
    try {
      job.upload ??= (await post(job)).upload;
      await Promise.all(Array.from({ length: LANES }, lane));
    } catch (error) {
      job.reason = error.reason || studio.words.no_answer;
    }
    if (job.stopped) return;
    for (const parcel of queue) job.failed = job.failed.concat(parcel);
    if (job.failed.length) { job.state = "failed"; studio.draw(); } else job.finish();
  }
  run(files);
}

/** Lists of files, each to be sent in one request. */
function parcels(files) {
  const made = [];
  let bytes = Infinity;
  for (const each of files) {
    const size = each.file?.size ?? Infinity;
    bytes += size;
    if (bytes > PARCEL_BYTES || made.at(-1).length >= PARCEL_FILES) { made.push([]); bytes = size > SMALL ? Infinity : size; }
    made.at(-1).push(each);
  }
  return made;
}

/** Whether every other file would fail, too: the studio is away, full or does not know this upload. */
async function hopeless(job, { status }) {
  if (status) return status !== 400;
  // No answer: either there is nobody, or the browser could not read the file it was to send.
  try { await request(job, "GET", `/api/uploads/${job.upload}`); return false; } catch { return true; }
}

function unused(path, used) {
  let free = path;
  for (let copy = 2; used.has(free); copy += 1) free = path.replace(/(\.[^./]*)?$/, ` (${copy})$1`);
  used.add(free);
  return free;
}

/** A first guess at the dataset's name: the zip's, or the folder's that everything came in. */
function nameOf(files) {
  const tops = new Set(files.map((each) => each.path.split("/")[0]));
  if (tops.size !== 1) return "";
  const [top] = tops;
  return files.length === 1 || files.some((each) => each.path.split("/").length > 2) ? top.replace(/\.(zip|tar|gz|tgz)$/i, "") : "";
}

const token = () => document.cookie.match(/(?:^|; )studio_token=([^;]*)/)?.[1] ?? "";

function post(job) { return request(job, "POST", "/api/uploads"); }

/** One file as it is; several as a line of JSON (names and sizes) and their bytes in a row. */
async function send(job, parcel, progress) {
  for (const each of parcel) {
    each.file ??= (await fileOf(each.entry, "")).file;
    if (!each.file) throw { status: 0 };
  }
  const [first] = parcel, one = parcel.length === 1;
  const head = JSON.stringify(parcel.map(({ path, file }) => [path, file.size])) + "\n";
  const [method, address, body] = one ? ["PUT", `?path=${encodeURIComponent(first.path)}`, first.file]
    : ["POST", "/files", new Blob([head, ...parcel.map(({ file }) => file)])];
  const bytes = parcel.reduce((sum, { file }) => sum + file.size, 0);
  let counted = 0;
  const count = (now) => { job.arrived += now - counted; counted = now; progress(); };
  for (let attempt = 1; ; attempt += 1) {
    try {
      await request(job, method, `/api/uploads/${job.upload}${address}`, body, (sent) => count(Math.min(sent, bytes)));
      return count(bytes);
    } catch (error) {
      count(0);
      // A refusal (4xx) will not change; an absent server or a busy one may come back.
      const final = error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429;
      if (job.stopped || final || attempt === (one ? ATTEMPTS : 2)) throw error;
      await new Promise((wake) => setTimeout(wake, 400 * 2 ** attempt));
    }
  }
}

/** XMLHttpRequest and not fetch: only it tells how much of a body has left. */
function request(job, method, url, body, onProgress) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    job.requests.add(call);
    call.open(method, url);
    call.setRequestHeader("X-Studio-Token", token());
    call.setRequestHeader("Accept-Language", job.language);
    if (body) call.setRequestHeader("Content-Type", "application/octet-stream");
    if (onProgress) call.upload.onprogress = (event) => onProgress(event.loaded);
    call.onloadend = () => {
      job.requests.delete(call);
      let answer = {};
      try { answer = JSON.parse(call.responseText || "{}"); } catch { /* a proxy's HTML page: the status says enough */ }
      if (call.status >= 200 && call.status < 300) return resolve(answer);
      reject({ status: call.status, reason: [answer.error ?? answer.message, answer.hint].filter((text) => typeof text === "string").join(" ") });
    };
    call.send(body ?? null);
  });
}
