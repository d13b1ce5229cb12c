// The page: a photo or the camera in, the classes with their shares out. Nothing here asks a server for anything.

(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const at = (id) => document.getElementById(id);
  const began = performance.now();
  const UNSURE = 0.5; // below this share the first answer is a guess
  const SHOWN = 5;
  let language = facts.words[navigator.language.slice(0, 2)] ? navigator.language.slice(0, 2) : "en";
  let said = []; // what stands on the page, to be said again in another language

  // Words

  function say(key, values = {}) {
    return facts.words[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  function tell(id, key, values) {
    said = said.filter((told) => told.id !== id).concat({ id, key, values });
    at(id).textContent = key ? say(key, typeof values === "function" ? values() : values) : "";
  }

  function speak(code) {
    language = code;
    document.documentElement.lang = code;
    for (const element of document.querySelectorAll("[data-say]")) {
      element.textContent = say(element.dataset.say, { count: facts.classes.length, ...facts.measured });
    }
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", button.dataset.language === code);
    }
    for (const { id, key, values } of said) tell(id, key, values);
  }

  // The model

  // A file of the page itself (base64, maybe gzip) or, in the folder version, one that lies beside it.
  async function bytesOf(name) {
    const held = at(`file-${name}`);
    if (!held) {
      const answer = await fetch(name);
      if (!answer.ok) throw new Error("incomplete");
      return new Uint8Array(await answer.arrayBuffer());
    }
    const text = atob(held.textContent.trim()), bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    held.remove(); // it would lie in memory twice
    if (held.dataset.packed !== "gzip") return bytes;
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function open() {
    const [glue, engine, model] = await Promise.all(
      ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "model.onnx"].map(bytesOf));
    ort.env.wasm.numThreads = 1; // more need headers that a file has not
    ort.env.wasm.wasmBinary = engine.buffer;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
    return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  }

  async function ask(planes) {
    const tensor = new ort.Tensor("float32", planes, [1, 3, ...facts.preprocessing.size]);
    const answer = await (await session).run({ [facts.input]: tensor });
    const logits = Array.from(answer[facts.output].data, (logit) => logit / facts.temperature), most = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - most)), sum = powers.reduce((total, power) => total + power, 0);
    const shares = powers.map((power) => power / sum);
    // Is it so unlike the photos the model learned from that it may be none of its classes?
    shares.none = facts.none_below !== null && answer[facts.likeness].data[0] < facts.none_below;
    return shares;
  }

  let line = Promise.resolve(); // one question at a time
  function answer(image) {
    const asked = line.then(() => ask(Picture.input(image, facts.preprocessing)));
    line = asked.catch(() => {});
    return asked;
  }

  // A drawn picture whose answer was noted where the model was measured: does this device say the same?
  function drawn(width, height) {
    const data = new Uint8Array(3 * width * height);
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        data[to++] = (7 * x + 3 * y) % 256;
        data[to++] = (x * y) % 256;
        data[to++] = (5 * x + 250 - 2 * y) % 256;
      }
    }
    return { width, height, data };
  }

  async function checked() {
    const { width, height, probabilities } = facts.check;
    const found = await answer(drawn(width, height));
    return Math.max(...found.map((share, place) => Math.abs(share - probabilities[place])));
  }

  // What is shown

  function show(shares) {
    const ranked = facts.classes.map((label, place) => ({ label, share: shares[place] })).sort((a, b) => b.share - a.share);
    const [first] = ranked;
    at("answer").hidden = false;
    tell("verdict", shares.none ? "none" : first.share < UNSURE ? "unsure" : "sure", { label: first.label });
    at("bars").replaceChildren(...ranked.slice(0, SHOWN).map(({ label, share }) => {
      const row = document.createElement("li"), name = document.createElement("span");
      const bar = document.createElement("i"), number = document.createElement("b");
      name.textContent = label;
      bar.style.setProperty("--share", share); // the number beside it says the same in words
      number.textContent = `${(100 * share).toFixed(1)} %`;
      row.append(name, bar, number);
      return row;
    }));
  }

  async function look(file) {
    stop();
    tell("trouble", null);
    tell("state", "looking");
    try {
      const image = await Picture.decode(file);
      URL.revokeObjectURL(at("photo").src);
      at("photo").src = URL.createObjectURL(file);
      at("photo").hidden = false;
      show(await answer(image));
      await at("photo").decode().catch(() => {}); // how tall it is, is known then
      at("answer").scrollIntoView({ block: "nearest" });
    } catch (error) {
      at("answer").hidden = at("photo").hidden = true;
      tell("trouble", ["not_a_picture", "too_large"].includes(error.message) ? error.message : "broken");
    }
    tell("state", null);
  }

  // The camera

  let stream = null, starting = false;

  async function start() {
    if (starting) return; // the browser is asking for permission
    starting = true;
    tell("trouble", null);
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      tell("trouble", "camera_refused");
      return;
    } finally {
      starting = false;
    }
    const video = at("video");
    video.srcObject = stream;
    await video.play();
    at("photo").hidden = true;
    video.hidden = false;
    tell("camera", "camera_stop");
    try {
      while (stream) {
        const shares = await answer(Picture.pixels(video, video.videoWidth, video.videoHeight));
        if (stream) show(shares);
        await new Promise((done) => setTimeout(done, 150)); // a moment for the page itself
      }
    } catch {
      stop();
      tell("trouble", "broken");
    }
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    at("video").hidden = true;
    tell("camera", "camera_start");
  }

  // The beginning

  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => speak(button.dataset.language));
  }
  at("file").addEventListener("change", (event) => {
    if (event.target.files[0]) look(event.target.files[0]);
    event.target.value = ""; // the same file may be chosen again
  });
  at("camera").addEventListener("click", () => (stream ? stop() : start()));
  at("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files[0]) look(event.clipboardData.files[0]);
  });
  document.addEventListener("visibilitychange", () => document.hidden && stop());

  const session = open();
  const ready = session.then(checked).then((difference) => {
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    tell("state", "ready", { seconds });
    tell("check", difference < 1e-3 ? "check_same" : "check_differs", { difference: difference.toExponential(0) });
    at("file").disabled = at("camera").disabled = false;
    return { seconds, difference };
  });
  ready.catch(() => {
    tell("state", null);
    tell("trouble", typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined" ? "too_old"
      : location.protocol === "file:" && !at("facts").dataset.single ? "needs_server" : "incomplete");
  });
  tell("state", "loading");
  tell("camera", "camera_start");
  speak(language);
  window.demo = { ready, answer: async (file) => answer(await Picture.decode(file)), input: async (file) =>
    Picture.input(await Picture.decode(file), facts.preprocessing) };
})();
