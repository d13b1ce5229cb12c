// Sends one chosen file to the upload route and says when it is there. The browser streams it; nothing is held in memory.

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".one-file");
  root.arrived = (arrived) => setTriggerValue("arrived", arrived);
  if (root.words !== JSON.stringify(data.words) && !root.call) {
    root.words = JSON.stringify(data.words);
    draw(root, data.words, data.accept);
  }
  return () => { if (!root.isConnected) root.call?.abort(); };
}

function draw(root, words, accept) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", accept, id: "file" });
  const label = document.createElement("label");
  label.htmlFor = "file";
  label.textContent = words.choose;
  const hint = document.createElement("span");
  hint.className = "hint";
  hint.textContent = words.hint;
  const bar = document.createElement("progress");
  bar.hidden = true;
  bar.max = 1;
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    input.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    status.textContent = words.sending.replace("{file}", file.name);
    try {
      const { upload } = JSON.parse(await request(root, "POST", "/api/uploads"));
      await request(root, "PUT", `/api/uploads/${upload}?path=${encodeURIComponent(file.name)}`, file, (sent) => { bar.value = sent; });
      status.textContent = "";
      root.arrived({ upload, name: file.name });
    } catch (error) {
      status.textContent = error.status === 413 ? words.too_large : `${words.failed} ${error.reason ?? ""}`;
    }
    root.call = null;
    bar.hidden = true;
    input.disabled = false;
    input.value = "";
  });
  root.replaceChildren(input, label, hint, bar, status);
}

/** XMLHttpRequest and not fetch: only it tells how much of a body has left. */
function request(root, method, url, body = null, progress = () => {}) {
  return new Promise((done, fail) => {
    const call = (root.call = new XMLHttpRequest());
    call.open(method, url);
    call.setRequestHeader("X-Studio-Token", document.cookie.match(/(?:^|; )studio_token=([^;]*)/)?.[1] ?? "");
    call.upload.onprogress = (event) => { if (event.lengthComputable) progress(event.loaded / event.total); };
    call.onload = () => (call.status < 300 ? done(call.responseText) : fail({ status: call.status, reason: reason(call) }));
    call.onerror = call.onabort = () => fail({ status: 0 });
    call.send(body);
  });
}

function reason(call) {
  try { return JSON.parse(call.responseText).error?.message ?? JSON.parse(call.responseText).error ?? ""; } catch { return ""; }
}
