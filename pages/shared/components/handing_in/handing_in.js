// Where photos are handed in: a zone to drop them on, a file dialog, the camera. `state.send(files)` takes them.

function idle(root, state, words, problem = null) {
  closeCamera(state);
  const title = matchMedia("(pointer: coarse)").matches ? words.touch : words.drop; // a finger drops nothing
  const zone = make("div", { class: "zone", role: "group", "aria-label": title });
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
  zone.append(make("p", { class: "title" }, title), make("p", { class: "hint" }, words.hint), buttons);
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

async function answer(request) {
  const response = await request.catch(() => { throw new Error(""); });  // the browser's own words are in its own language
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error([body.error, body.hint].filter(Boolean).join(" "));
  return body;
}

function make(tag, attributes = {}, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// What shows the studio that a page of its own asks.
function token() {
  return { "X-Studio-Token": /(?:^|; )studio_token=([^;]+)/.exec(document.cookie)?.[1] ?? "" };
}
