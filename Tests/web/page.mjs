// SPDX-License-Identifier: BSD-3-Clause
//
// The page in headless Chromium: node page.mjs CHROMIUM WEB FIXTURES SCREENSHOT
import { writeFile } from 'node:fs/promises';
import assert from 'node:assert/strict';
import { start } from './browser.mjs';

const [browser, web, fixtures, screenshot] = process.argv.slice(2);
const { open, stop, requests } = await start(browser, web, `${fixtures}/pictures`);

/// Until the page says that it is done.
async function finished(page) {
  const state = await page.until("['error', 'done'].includes(document.body?.dataset.state) && document.body.dataset.state");
  if (state === 'error') throw new Error(await page.evaluate('document.getElementById("error").textContent'));
  return page.evaluate('({ ...document.body.dataset })');
}

try {
  const page = await open('index.html?picture=scene.png&quality=30');
  const low = await finished(page);
  assert.ok(Number(low.bytes) > 100 && Number(low.psnr) > 20, JSON.stringify(low));
  await page.evaluate(`document.getElementById('quality').value = 80;
    document.getElementById('quality').dispatchEvent(new Event('input'));
    document.getElementById('quality').dispatchEvent(new Event('change'))`);
  const high = await finished(page);
  assert.ok(Number(high.bytes) > Number(low.bytes) && Number(high.psnr) > Number(low.psnr), JSON.stringify(high));
  await writeFile(screenshot, await page.screenshot());
  // What it saved opens again, in a second page that finds codec and model in the cache.
  const saved = await page.evaluate(`fetch(document.getElementById('save').href).then((r) => r.arrayBuffer()).then((b) => [...new Uint8Array(b)])`);
  assert.equal(saved.length, Number(high.bytes));
  const second = await open('index.html');
  await second.until("document.body?.dataset.state === 'ready'");
  await second.evaluate(`{
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(${JSON.stringify(saved)})], 'a.sci'));
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true }));
  }`);
  const opened = await finished(second);
  assert.equal(opened.bytes, high.bytes);
  assert.deepEqual([requests['swiftcodec.wasm'], requests['flagship.scm']], [1, 1], 'codec and model are fetched once');
  console.log(`page: quality 30: ${low.bytes} bytes, ${low.psnr} dB; quality 80: ${high.bytes} bytes, ${high.psnr} dB; ${screenshot}`);
} finally {
  await stop();
}
