// SPDX-License-Identifier: BSD-3-Clause
//
// SwiftCodec for browsers and node: an ES module around swiftcodec.wasm. The model is a file of its own, which browsers keep
// in their cache for the next visit.
//
//   import { SwiftCodec } from './swiftcodec.js';
//   const codec = await SwiftCodec.load();
//   const bytes = codec.encode(imageData, { quality: 60 });
//   const imageData = codec.decode(bytes);
//
// Calls take as long as they take: call from a worker (worker.js) to keep a page alive. Where structs of swiftcodec.h lie
// below is their layout on wasm32.

const PIXEL = { rgb: 1, rgba: 2, grey: 4, yuv420: 5 };
const SEARCH = { off: 0, fast: 1, full: 2, quick: 3 };
const TARGET = { bytes: 1, bitsPerPixel: 2, psnr: 3, quality: 4, maxError: 5 };
const SIZE = { picture: 44, header: 40, decoderSettings: 40, encoderSettings: 72, region: 16 };

/// A call failed; `status` is the sc_status of swiftcodec.h.
export class SwiftCodecError extends Error {
  constructor(status, message) {
    super(message);
    this.name = 'SwiftCodecError';
    this.status = status;
  }
}

/// The bytes of a file: from an ArrayBuffer or a view, or fetched and kept in the browser's cache of this name.
async function load(source, cacheName) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const isOk = (response) => {
    if (!response.ok) throw new Error(`${source}: ${response.status} ${response.statusText}`);
    return response;
  };
  if (cacheName && typeof caches !== 'undefined') {
    try {
      const cache = await caches.open(cacheName);
      let response = await cache.match(source);
      if (!response) {
        response = isOk(await fetch(source));
        await cache.put(source, response.clone());
      }
      return new Uint8Array(await response.arrayBuffer());
    } catch (failure) {
      // No cache in a private window, or it is full: without it, then.
      if (!(failure instanceof DOMException)) throw failure;
    }
  }
  return new Uint8Array(await isOk(await fetch(source)).arrayBuffer());
}

/// What the C library asks of its system: the clock, seeds of hash tables, and nothing to write to.
const system = (memory) => ({
  clock_time_get(_clock, _precision, out) {
    new DataView(memory().buffer).setBigUint64(out, BigInt(Math.round(performance.now() * 1e6)), true);
    return 0;
  },
  fd_close: () => 0,
  fd_seek: () => 70,
  fd_write: () => 8,
  random_get(at, size) {
    crypto.getRandomValues(new Uint8Array(memory().buffer, at, size));
    return 0;
  },
  proc_exit() { throw new Error('the codec has ended'); },
});

export class SwiftCodec {
  #c;
  #model;
  #decoder;
  #encoder;

  /// `wasm` and `model` are URLs, or the files' bytes. `cache` is the name of the cache that keeps them; change it with the
  /// files; null for none.
  static async load({
    wasm = new URL('swiftcodec.wasm', import.meta.url).href,
    model = new URL('flagship.scm', import.meta.url).href,
    cache = 'swiftcodec-0.2',
  } = {}) {
    const [program, modelBytes] = await Promise.all([load(wasm, cache), load(model, cache)]);
    let instance;
    const imports = { wasi_snapshot_preview1: system(() => instance.exports.memory) };
    ({ instance } = await WebAssembly.instantiate(program, imports));
    instance.exports._initialize();
    return new SwiftCodec(instance.exports, modelBytes);
  }

  constructor(exports, modelBytes) {
    this.#c = exports;
    this.#with((keep) => {
      const out = keep(this.#allocate(4));
      const message = keep(this.#allocate(512));
      const status = this.#c.sc_model_create(keep(this.#copyIn(modelBytes)), modelBytes.length, out, message, 512);
      if (status) throw new SwiftCodecError(status, this.#text(message));
      this.#model = this.#view().getUint32(out, true);
    });
    this.#decoder = this.#create('sc_decoder_create', 0);
    this.#encoder = this.#create('sc_encoder_create', 0);
  }

  /// The upper 32 bits of the model's id, which bitstreams name it by.
  get modelID() { return Number(BigInt.asUintN(64, this.#c.sc_model_id(this.#model)) >> 32n); }

  /// Encodes ImageData, or any { width, height, data } of RGBA samples. Options: one of `quality` 0…100 (50 without any),
  /// `maxError` (no sample is off by more: 0, lossless, to 15), `bytes`, `bitsPerPixel`, `psnr` that the file is to come to; `search`: 'off', 'quick', 'fast', 'full'.
  encode(image, { search = 'off', ...targets } = {}) {
    const given = Object.keys(targets);
    if (given.length > 1) throw new SwiftCodecError(10, `at most one of ${given.join(', ')}`);
    if (given.length === 0) targets.quality = 50;
    const { width, height, data } = image;
    if (data.length !== 4 * width * height) throw new SwiftCodecError(11, `${data.length} samples for ${width}×${height} pixels`);
    return this.#with((keep) => {
      const settings = keep(this.#allocate(SIZE.encoderSettings));
      const view = this.#view();
      view.setUint32(settings, SIZE.encoderSettings, true);
      view.setUint32(settings + 12, 1, true);
      for (const [name, value] of Object.entries(targets)) {
        if (!(name in TARGET)) throw new SwiftCodecError(10, `option ${name} is unknown`);
        view.setUint32(settings + 24, TARGET[name], true);
        view.setFloat64(settings + 32, value, true);
      }
      if (!(search in SEARCH)) throw new SwiftCodecError(10, `search ${search} is unknown`);
      view.setUint32(settings + 40, SEARCH[search], true);
      const check = (status) => this.#check(status, () => this.#c.sc_encoder_message(this.#encoder));
      check(this.#c.sc_encoder_configure(this.#encoder, settings));
      const picture = keep(this.#picture(width, height, keep(this.#copyIn(data))));
      const out = keep(this.#allocate(8));
      check(this.#c.sc_encode(this.#encoder, picture, out, out + 4));
      const bytes = this.#view().getUint32(out, true);
      const result = this.#bytes(bytes, this.#view().getUint32(out + 4, true)).slice();
      this.#c.sc_free(bytes);
      return result;
    });
  }

  /// Decodes a bitstream to ImageData, or where there is no such class to { width, height, data }. `region` is
  /// { x, y, width, height } of a part of it.
  decode(bytes, { region = null } = {}) {
    return this.#with((keep) => {
      const header = this.header(bytes);
      const { width, height } = region ?? header;
      const stream = keep(this.#copyIn(bytes));
      const size = 4 * width * height;
      const samples = keep(this.#allocate(size));
      const picture = keep(this.#picture(width, height, samples));
      const check = (status) => this.#check(status, () => this.#c.sc_decoder_message(this.#decoder));
      if (region) {
        const part = keep(this.#allocate(SIZE.region));
        [region.x, region.y, width, height].forEach((v, i) => this.#view().setUint32(part + 4 * i, v, true));
        check(this.#c.sc_decode_region(this.#decoder, stream, bytes.length, part, picture));
      } else {
        check(this.#c.sc_decode(this.#decoder, stream, bytes.length, picture));
      }
      const data = new Uint8ClampedArray(this.#bytes(samples, size));
      return typeof ImageData === 'undefined' ? { width, height, data } : new ImageData(data, width, height);
    });
  }

  /// What the header of a bitstream says: the first 64 bytes are enough.
  header(bytes) {
    return this.#with((keep) => {
      const start = bytes.subarray(0, 64);
      const header = keep(this.#allocate(SIZE.header));
      this.#view().setUint32(header, SIZE.header, true);
      this.#check(this.#c.sc_read_header(keep(this.#copyIn(start)), start.length, header));
      const view = this.#view();
      const field = (i) => view.getUint32(header + 4 * i, true);
      const format = Object.keys(PIXEL).find((name) => PIXEL[name] === field(3));
      return {
        width: field(1), height: field(2), format, ratePoint: field(4), rateFraction: field(5), modelID: field(7), segments: field(8),
      };
    });
  }

  /// Frees what lies in the memory of WebAssembly; the object is of no use afterwards.
  destroy() {
    this.#c.sc_encoder_destroy(this.#encoder);
    this.#c.sc_decoder_destroy(this.#decoder);
    this.#c.sc_model_destroy(this.#model);
  }

  // The memory's buffer changes when it grows: views are made anew for each use.
  #view() { return new DataView(this.#c.memory.buffer); }
  #bytes(at, size) { return new Uint8Array(this.#c.memory.buffer, at, size); }

  /// Zeroed.
  #allocate(size) {
    const at = this.#c.malloc(size || 1);
    if (!at) throw new SwiftCodecError(37, `no memory for ${size} bytes`);
    this.#bytes(at, size).fill(0);
    return at;
  }

  #copyIn(bytes) {
    const at = this.#allocate(bytes.length);
    this.#bytes(at, bytes.length).set(bytes);
    return at;
  }

  /// Frees what `keep` was given, when `body` is done.
  #with(body) {
    const kept = [];
    try {
      return body((at) => (kept.push(at), at));
    } finally {
      for (const at of kept) this.#c.free(at);
    }
  }

  #create(name, settings) {
    return this.#with((keep) => {
      const out = keep(this.#allocate(4));
      this.#check(this.#c[name](this.#model, settings, out));
      return this.#view().getUint32(out, true);
    });
  }

  #picture(width, height, samples) {
    const picture = this.#allocate(SIZE.picture);
    [SIZE.picture, width, height, PIXEL.rgba, 0, samples].forEach((v, i) => this.#view().setUint32(picture + 4 * i, v, true));
    return picture;
  }

  #text(at) {
    const bytes = this.#bytes(at, this.#c.memory.buffer.byteLength - at);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
  }

  #check(status, message) {
    if (!status) return;
    const text = message ? this.#text(message()) : '';
    throw new SwiftCodecError(status, text || this.#text(this.#c.sc_status_string(status)));
  }
}

/// PSNR in dB of two pictures' R, G and B; Infinity for the same ones.
export function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.data.length; i += 4) {
    for (let c = 0; c < 3; c++) sum += (a.data[i + c] - b.data[i + c]) ** 2;
  }
  return 10 * Math.log10((255 ** 2 * 3 * (a.data.length / 4)) / sum);
}
