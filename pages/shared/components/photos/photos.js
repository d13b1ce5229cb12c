// Photos to try, from a drop, a file dialog or the camera, sent to the studio one by one.

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector("#photos");
  const state = (root.state ??= { stream: null });
  state.send = (files) => send(root, state, files, data, (upload) => setTriggerValue("uploaded", upload));
  root.classList.toggle("small", data.small);
  if (!state.busy && !state.stream) idle(root, state, data.words);
  return () => closeCamera(state);
}

async function send(root, state, files, { words, limit }, done) {
  const large = files.find((file) => file.size > limit);
  if (large) return idle(root, state, words, words.too_large.replace("{file}", () => large.name));
  state.busy = true;
  const line = make("p", { class: "title", role: "status" });
  const bar = make("progress", { max: files.length, value: 0 });
  const box = make("div", { class: "zone" });
  box.append(line, bar);
  root.replaceChildren(box);
  const headers = token();
  try {
    const { upload } = await answer(fetch("/api/uploads", { method: "POST", headers }));
    for (const [number, file] of files.entries()) {
      line.textContent = words.sending.replace("{done}", number + 1).replace("{total}", files.length);
      bar.value = number;
      // A number before each name: a camera roll may hold two of one name, and the same path would replace the first.
      await answer(fetch(`/api/uploads/${upload}?path=${number}/${encodeURIComponent(file.name)}`, { method: "PUT", headers, body: file }));
    }
    state.busy = false;
    done(upload);
    idle(root, state, words);
  } catch (error) {
    state.busy = false;
    idle(root, state, words, error.message || words.failed);
  }
}
