// Photos for a published model: each goes to its address, and the answer is shown here. Nothing is kept.

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector("#ask");
  const state = (root.state ??= { stream: null, answers: [] });
  const zone = root.querySelector(".hand-in"), list = root.querySelector(".answers");
  state.send = (files) => send(zone, list, state, files, data);
  if (!state.busy && !state.stream) idle(zone, state, data.words);
  root.querySelector(".examples").replaceChildren(...data.examples.map((source, number) => {
    const button = make("button", { type: "button" });
    const picture = make("img", { src: source, alt: data.words.example.replace("{number}", number + 1) });
    button.onclick = () => tryExample(picture, state);
    button.append(picture);
    return button;
  }));
  return () => closeCamera(state);
}

async function tryExample(image, state) {
  if (state.busy) return;
  const response = await fetch(image.src);
  state.send([new File([await response.blob()], image.alt, { type: "image/webp" })]);
}

async function send(zone, list, state, files, { words, limit, address, unsure }) {
  const large = files.find((file) => file.size > limit);
  if (large) return idle(zone, state, words, words.too_large.replace("{file}", () => large.name));
  const empty = files.find((file) => !file.size);  // the server would take it for no file at all
  if (empty) return idle(zone, state, words, words.empty.replace("{file}", () => empty.name));
  state.busy = true;
  const line = make("p", { class: "title", role: "status" });
  const box = make("div", { class: "zone" });
  box.append(line);
  zone.replaceChildren(box);
  let problem = null, newest = null;
  for (const [number, file] of files.entries()) {
    line.textContent = words.sending.replace("{done}", number + 1).replace("{total}", files.length);
    try {
      const { predictions } = await asked(address, file, (seconds) => {
        line.textContent = words.queued.replace("{seconds}", seconds);
      });
      newest = shown(file, predictions[0], words, unsure);
      list.prepend(newest);
    } catch (error) {
      problem = error.message || words.failed;
      break;
    }
  }
  state.busy = false;
  idle(zone, state, words, problem);
  if (!newest || problem) return;
  await newest.querySelector("img")?.decode().catch(() => {});  // how tall it is, is known then
  newest.scrollIntoView({ block: "nearest" });  // on a phone the answer would stand below what is seen
}

// Where too many ask at once, the server says when to come again; this page waits and does, a few times.
async function asked(address, file, waiting) {
  for (let tries = 0; ; tries++) {
    const form = new FormData();
    form.append("image", file, file.name);
    const response = await fetch(address, { method: "POST", headers: token(), body: form })
      .catch(() => { throw new Error(""); });
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body;
    const seconds = Number(response.headers.get("retry-after"));
    if (!seconds || tries === 5) throw new Error([body.error, body.hint].filter(Boolean).join(" "));
    for (let left = seconds; left > 0; left--) {
      waiting(left);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

function shown(file, row, words, unsure) {
  const card = make("article", { class: "answer", tabindex: "-1" });
  const picture = make("img", { alt: file.name });
  picture.onload = () => URL.revokeObjectURL(picture.src);
  picture.onerror = () => picture.remove();  // a format this browser cannot show, though the model could read it
  picture.src = URL.createObjectURL(file);
  const says = make("div");
  if (row.error) {
    says.append(make("p", { class: "problem", role: "alert" }, `${file.name}: ${row.error} ${row.hint ?? ""}`));
  } else {
    const ranked = Object.entries(row.probabilities).sort((one, other) => other[1] - one[1]).slice(0, 5);
    const [label, share] = ranked[0];
    const doubt = row.none_of_these ? words.none : share < unsure ? words.unsure : "{label}";
    says.append(make("h3", {}, doubt.replace("{label}", () => label)));
    const bars = make("ol");
    for (const [name, value] of ranked) {
      const bar = make("li");
      const track = make("i");
      track.style.setProperty("--share", value);
      bar.append(make("span", {}, name), track, make("b", {}, `${(100 * value).toFixed(1)} %`));
      bars.append(bar);
    }
    says.append(bars);
  }
  card.append(picture, says);
  return card;
}
