// From a picture file to what the model is given: the same steps and the same rounding as in transfer_core/images.py, so that
// this page gives the answers that were measured. `resize` does what Pillow does (two passes, 22-bit weights, 8-bit rows between).

const Picture = (() => {
  const MOST = 100e6; // pixels, as everywhere in Transfer Studio
  const TILE = 2048; // no canvas is larger: phones refuse one of 16 megapixels
  const LARGEST = 16e6; // pixels of a resized picture above which its far ends are cut off first

  async function decode(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" });
    } catch {
      throw new Error("not_a_picture");
    }
    try {
      if (bitmap.width * bitmap.height > MOST) throw new Error("too_large");
      return pixels(bitmap, bitmap.width, bitmap.height);
    } finally {
      bitmap.close();
    }
  }

  // RGB of anything a canvas draws; transparent parts become white.
  function pixels(source, width, height) {
    const image = { width, height, data: new Uint8Array(3 * width * height) };
    const canvas = document.createElement("canvas");
    canvas.width = Math.min(TILE, width);
    canvas.height = Math.min(TILE, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (let top = 0; top < height; top += TILE) {
      for (let left = 0; left < width; left += TILE) {
        const wide = Math.min(TILE, width - left), high = Math.min(TILE, height - top);
        context.fillStyle = "#fff";
        context.fillRect(0, 0, wide, high);
        context.drawImage(source, -left, -top);
        const read = context.getImageData(0, 0, wide, high).data;
        for (let y = 0; y < high; y++) {
          let to = 3 * ((top + y) * width + left);
          for (let from = 4 * y * wide, end = from + 4 * wide; from < end; from += 4) {
            image.data[to++] = read[from];
            image.data[to++] = read[from + 1];
            image.data[to++] = read[from + 2];
          }
        }
      }
    }
    return image;
  }

  const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
  const FILTERS = {
    bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
    bicubic: [2, (x) => {
      x = Math.abs(x);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    }],
    lanczos: [3, (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
  };
  const BITS = 22;

  // For each place of the output: where its inputs begin, and their weights as whole numbers that sum to 2^22.
  function weightsOf(before, after, [reach, curve]) {
    const scale = before / after, stretch = Math.max(1, scale), support = reach * stretch;
    const firsts = new Int32Array(after), all = [];
    for (let place = 0; place < after; place++) {
      const centre = (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + 0.5));
      const end = Math.min(before, Math.trunc(centre + support + 0.5));
      const weights = [];
      let sum = 0;
      for (let at = first; at < end; at++) {
        const weight = curve((at - centre + 0.5) * (1 / stretch));
        weights.push(weight);
        sum += weight;
      }
      firsts[place] = first;
      all.push(Int32Array.from(weights, (weight) => {
        const share = (sum ? weight / sum : weight) * (1 << BITS);
        return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
      }));
    }
    return [firsts, all];
  }

  const clipped = (sum) => {
    const value = sum >> BITS;
    return value < 0 ? 0 : value > 255 ? 255 : value;
  };

  function narrowed(image, width, filter) {
    const [firsts, all] = weightsOf(image.width, width, filter), out = new Uint8Array(3 * width * image.height), from = image.data;
    for (let y = 0; y < image.height; y++) {
      const row = 3 * y * image.width;
      for (let x = 0; x < width; x++) {
        const weights = all[x];
        let at = row + 3 * firsts[x], red = 1 << (BITS - 1), green = red, blue = red;
        for (let tap = 0; tap < weights.length; tap++, at += 3) {
          const weight = weights[tap];
          red += from[at] * weight;
          green += from[at + 1] * weight;
          blue += from[at + 2] * weight;
        }
        const to = 3 * (y * width + x);
        out[to] = clipped(red);
        out[to + 1] = clipped(green);
        out[to + 2] = clipped(blue);
      }
    }
    return { width, height: image.height, data: out };
  }

  function shortened(image, height, filter) {
    const [firsts, all] = weightsOf(image.height, height, filter), row = 3 * image.width, from = image.data;
    const out = new Uint8Array(row * height), sums = new Int32Array(row);
    for (let y = 0; y < height; y++) {
      const weights = all[y];
      sums.fill(1 << (BITS - 1));
      for (let tap = 0; tap < weights.length; tap++) {
        const weight = weights[tap], start = (firsts[y] + tap) * row;
        for (let at = 0; at < row; at++) sums[at] += from[start + at] * weight;
      }
      for (let at = 0, to = y * row; at < row; at++, to++) out[to] = clipped(sums[at]);
    }
    return { width: image.width, height, data: out };
  }

  function nearest(image, width, height) {
    const data = new Uint8Array(3 * width * height);
    for (let y = 0, to = 0; y < height; y++) {
      const row = Math.floor((y + 0.5) * (image.height / height)) * image.width;
      for (let x = 0; x < width; x++) {
        const from = 3 * (row + Math.floor((x + 0.5) * (image.width / width)));
        data[to++] = image.data[from];
        data[to++] = image.data[from + 1];
        data[to++] = image.data[from + 2];
      }
    }
    return { width, height, data };
  }

  function resize(image, width, height, name) {
    if (width === image.width && height === image.height) return image;
    if (name === "nearest") return nearest(image, width, height);
    const filter = FILTERS[name];
    const across = (seen) => (width === seen.width ? seen : narrowed(seen, width, filter));
    const down = (seen) => (height === seen.height ? seen : shortened(seen, height, filter));
    // Rows between the passes are rounded, so their order matters. This is what Pillow 13 was seen to do.
    const rowsFirst = height < image.height && 2 * (image.width - width) < image.height - height;
    return rowsFirst ? across(down(image)) : down(across(image));
  }

  // A part of a picture; what lies outside of it is filled.
  function crop(image, left, top, width, height, fill = [0, 0, 0]) {
    const data = new Uint8Array(3 * width * height);
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const column = left + x, row = top + y;
        const inside = column >= 0 && row >= 0 && column < image.width && row < image.height;
        const from = 3 * (row * image.width + column);
        for (let channel = 0; channel < 3; channel++) data[to++] = inside ? image.data[from + channel] : fill[channel];
      }
    }
    return { width, height, data };
  }

  // Python's round: a half goes to the even neighbour.
  function round(value) {
    const below = Math.floor(value), rest = value - below;
    return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
  }

  function centred(image, how, fill) {
    const [height, width] = how.size;
    if (image.width < width || image.height < height) {
      const wide = Math.max(image.width, width), high = Math.max(image.height, height);
      image = crop(image, -Math.floor((wide - image.width) / 2), -Math.floor((high - image.height) / 2), wide, high, fill);
    }
    return crop(image, round((image.width - width) / 2), round((image.height - height) / 2), width, height);
  }

  function keepingRatio(image, scaled, longest) {
    const ratios = [image.height / scaled[0], image.width / scaled[1]];
    const ratio = longest ? Math.max(...ratios) : Math.min(...ratios);
    return [Math.max(1, round(image.width / ratio)), Math.max(1, round(image.height / ratio))];
  }

  function withoutEnds(image, scaled) {
    const ratio = Math.min(image.height / scaled[0], image.width / scaled[1]);
    if ((image.width * image.height) / ratio ** 2 <= LARGEST) return image;
    const width = Math.min(image.width, Math.ceil(2 * scaled[1] * ratio) + 16);
    const height = Math.min(image.height, Math.ceil(2 * scaled[0] * ratio) + 16);
    return crop(image, Math.floor((image.width - width) / 2), Math.floor((image.height - height) / 2), width, height);
  }

  function fit(image, how) {
    const scaled = how.size.map((side) => Math.floor(side / how.crop_share)), filter = how.interpolation;
    if (how.crop_mode === "squash") return centred(resize(image, scaled[1], scaled[0], filter), how);
    if (how.crop_mode === "border") {
      return centred(resize(image, ...keepingRatio(image, scaled, true), filter), how, how.mean.map((value) => round(255 * value)));
    }
    image = withoutEnds(image, scaled);
    if (scaled[0] !== scaled[1]) return centred(resize(image, ...keepingRatio(image, scaled, false), filter), how);
    const short = Math.min(image.width, image.height), long = Math.max(image.width, image.height);
    const longer = Math.trunc((scaled[0] * long) / short);
    return centred(image.width <= image.height ? resize(image, scaled[0], longer, filter) : resize(image, longer, scaled[0], filter), how);
  }

  // Three planes of 32-bit numbers, (value / 255 − mean) / std, each step rounded to 32 bits.
  function normalised(image, how) {
    const count = image.width * image.height, planes = new Float32Array(3 * count), f = Math.fround;
    for (let channel = 0; channel < 3; channel++) {
      const table = Float32Array.from({ length: 256 }, (_, value) =>
        f(f(f(value / 255) - f(how.mean[channel])) / f(how.std[channel])));
      for (let at = 0; at < count; at++) planes[channel * count + at] = table[image.data[3 * at + channel]];
    }
    return planes;
  }

  return { decode, pixels, fit, normalised, input: (image, how) => normalised(fit(image, how), how) };
})();
