// SPDX-License-Identifier: BSD-3-Clause
//
// A worker that runs the codec beside a page. Messages: { id, call, args } in, { id, result } or { id, error } out.
import { SwiftCodec } from './swiftcodec.js';

const codec = SwiftCodec.load();

self.onmessage = async ({ data: { id, call, args } }) => {
  try {
    const started = await codec;
    const begin = performance.now();
    const result = call === 'ready' ? true : started[call](...args);
    self.postMessage({ id, result, milliseconds: performance.now() - begin });
  } catch (failure) {
    self.postMessage({ id, error: failure.message });
  }
};
