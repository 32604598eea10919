// SPDX-License-Identifier: BSD-3-Clause
//
// The ES module in node, without a browser: node module.mjs WEB FIXTURES
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';

const [web, fixtures] = process.argv.slice(2);
const { SwiftCodec, SwiftCodecError, psnr } = await import(pathToFileURL(`${web}/swiftcodec.js`));
const wasm = await readFile(`${web}/swiftcodec.wasm`);

/// CRC-32C, bit by bit.
function crc32c(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (~crc >>> 0).toString(16).padStart(8, '0');
}

function opaque(width, height, sample) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) data[4 * (y * width + x) + c] = sample(x, y, c);
  return { width, height, data };
}

// Golden files: the same pixels as on every machine.
const models = { 'models/tiny.scm': 'models/tiny.scm', 'models/tiny-hyper.scm': 'models/tiny-hyper.scm' };
const codecs = {};
for (const [name, path] of Object.entries(models)) {
  codecs[name] = await SwiftCodec.load({ wasm, model: await readFile(`${fixtures}/${path}`) });
}
let files = 0;
for (const line of (await readFile(`${fixtures}/golden/golden.txt`, 'utf8')).split('\n')) {
  const [file, model, width, height, format, hash] = line.split(' ');
  if (!(model in codecs)) continue;
  const bytes = await readFile(`${fixtures}/golden/${file}`);
  const header = codecs[model].header(bytes);
  assert.deepEqual([header.width, header.height, header.format], [Number(width), Number(height), format]);
  if (format !== 'rgb') continue;
  const image = codecs[model].decode(bytes);
  const rgb = image.data.filter((_, i) => i % 4 !== 3);
  assert.equal(crc32c(rgb), hash.toLowerCase(), file);
  files++;
}
assert.ok(files > 5);

const codec = await SwiftCodec.load({ wasm, model: await readFile(`${web}/flagship.scm`) });
const image = opaque(120, 80, (x, y, c) => 128 + 90 * Math.sin(x / 9 + c) * Math.cos(y / 7));
let last = 0;
for (const quality of [0, 50, 100]) {
  const bytes = codec.encode(image, { quality });
  assert.equal(codec.header(bytes).modelID, codec.modelID);
  const decoded = codec.decode(bytes);
  const value = psnr(image, decoded);
  assert.ok(value > last && value > 25, `PSNR ${value} at quality ${quality}`);
  last = value;
  const part = codec.decode(bytes, { region: { x: 11, y: 30, width: 50, height: 40 } });
  for (let y = 0; y < 40; y++) {
    const start = 4 * ((y + 30) * 120 + 11);
    assert.deepEqual(part.data.slice(200 * y, 200 * (y + 1)), decoded.data.slice(start, start + 200));
  }
}
const glass = { ...image, data: image.data.map((v, i) => (i % 4 === 3 ? i % 251 : v)) };
const through = codec.decode(codec.encode(glass)).data;
assert.ok(through.every((v, i) => i % 4 !== 3 || v === i % 251), 'alpha');
assert.ok(codec.encode(image, { bytes: 700 }).length <= 700);
assert.ok(codec.encode(image, { quality: 30, search: 'quick' }).length > 0);
const exact = codec.decode(codec.encode(image, { maxError: 0 })).data;
assert.ok(exact.every((v, i) => v === image.data[i]), 'lossless');
const bytes = codec.encode(image);
const fails = (status, body) => assert.throws(body, (failure) => failure instanceof SwiftCodecError && failure.status === status && failure.message.length > 0);
fails(32, () => codec.decode(bytes.subarray(0, 9)));
fails(33, () => codec.decode(bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte))));
fails(11, () => codec.decode(bytes, { region: { x: 100, y: 0, width: 21, height: 4 } }));
fails(10, () => codec.encode(image, { quality: 101 }));
fails(10, () => codec.encode(image, { search: 'long' }));
fails(10, () => codec.encode(image, { maxError: 16 }));
fails(10, () => codec.encode(image, { quality: 50, bytes: 700 }));
fails(35, () => codecs['models/tiny.scm'].decode(bytes));
await assert.rejects(SwiftCodec.load({ wasm, model: new Uint8Array(10) }), SwiftCodecError);
codec.destroy();
console.log(`module: ${files} golden files, encoding, regions and errors as they should be`);
