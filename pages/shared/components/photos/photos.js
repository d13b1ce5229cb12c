// Photos to try, from a drop, a file dialog or the camera, sent to the studio one by one.

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector("#photos");
  const state = (root.state ??= { stream: null });
  state.send = (files) => send(root, state, files, data, (upload) => setTriggerValue("uploaded", upload));
  root.classList.toggle("small", data.small);
  if (!state.busy && !state.stream) idle(root, state, data.words);
  return () => closeCamera(state);
}

function idle(root, state, words, problem = null) {
  closeCamera(state);
  const zone = make("div", { class: "zone", role: "group", "aria-label": words.drop });
  const choose = make("button", { type: "button", class: "primary" }, words.choose);
  const camera = make("button", { type: "button" }, words.camera);
  choose.onclick = () => {
    const input = make("input", { type: "file", multiple: "", accept: "image/*,.heic,.heif,.avif" });
    input.onchange = () => input.files.length && state.send([...input.files]);
    input.click();
  };
  camera.onclick = () => openCamera(root, state, words);
  const buttons = make("div", { class: "buttons" });
  buttons.append(choose, camera);
  zone.append(make("p", { class: "title" }, words.drop), make("p", { class: "hint" }, words.hint), buttons);
  if (problem) zone.append(make("p", { class: "problem", role: "alert" }, problem));
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) state.send(files);
  };
  root.replaceChildren(zone);
}

async function openCamera(root, state, words) {
  if (!navigator.mediaDevices?.getUserMedia) return idle(root, state, words, words.insecure);
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch {
    return idle(root, state, words, words.no_camera);
  }
  const video = make("video", { autoplay: "", playsinline: "", "aria-label": words.preview });
  video.muted = true;
  video.srcObject = state.stream;
  const take = make("button", { type: "button", class: "primary" }, words.take);
  const close = make("button", { type: "button" }, words.close);
  take.onclick = () => {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => { closeCamera(state); state.send([new File([blob], "camera.jpg", { type: "image/jpeg" })]); }, "image/jpeg", 0.95);
  };
  close.onclick = () => idle(root, state, words);
  const buttons = make("div", { class: "buttons" });
  buttons.append(take, close);
  const box = make("div", { class: "zone camera" });
  box.append(video, buttons);
  root.replaceChildren(box);
  take.disabled = true;  // until there is a picture to take
  video.onloadeddata = () => { take.disabled = false; take.focus(); };
}

function closeCamera(state) {
  state.stream?.getTracks().forEach((track) => track.stop());
  state.stream = null;
}

async function send(root, state, files, { words, limit }, done) {
  const large = files.find((file) => file.size > limit);
  if (large) return idle(root, state, words, words.too_large.replace("{file}", large.name));
  state.busy = true;
  const line = make("p", { class: "title", role: "status" });
  const bar = make("progress", { max: files.length, value: 0 });
  const box = make("div", { class: "zone" });
  box.append(line, bar);
  root.replaceChildren(box);
  const token = /(?:^|; )studio_token=([^;]+)/.exec(document.cookie)?.[1] ?? "";
  const headers = { "X-Studio-Token": token };
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

async function answer(request) {
  const response = await request.catch(() => { throw new Error(""); });  // the browser's own words are in its own language
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error?.message ?? "");
  return body;
}

function make(tag, attributes = {}, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
