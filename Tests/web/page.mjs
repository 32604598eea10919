// SPDX-License-Identifier: BSD-3-Clause
//
// The page in headless Chromium: node page.mjs CHROMIUM WEB FIXTURES SCREENSHOT
//
// Speaks the DevTools protocol over the browser's pipe: messages of JSON, each with a zero byte behind it.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';

const [browser, web, fixtures, screenshot] = process.argv.slice(2);
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm', '.png': 'image/png' };
const requests = {};
const server = createServer(async (request, response) => {
  const name = path.basename(new URL(request.url, 'http://localhost').pathname) || 'index.html';
  requests[name] = (requests[name] ?? 0) + 1;
  const file = name.endsWith('.png') ? `${fixtures}/pictures/${name}` : `${web}/${name}`;
  try {
    const bytes = await readFile(file);
    response.writeHead(200, { 'content-type': types[path.extname(name)] ?? 'application/octet-stream' }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const site = `http://127.0.0.1:${server.address().port}`;

const profile = await mkdtemp(path.join(tmpdir(), 'page-'));
const child = spawn(
  browser,
  ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-pipe', '--no-first-run',
    `--user-data-dir=${profile}`, '--window-size=900,1000', 'about:blank'],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const waiting = new Map();
let calls = 0;
let rest = '';
child.stdio[4].setEncoding('utf8').on('data', (text) => {
  const messages = (rest + text).split('\0');
  rest = messages.pop();
  for (const message of messages.map((m) => JSON.parse(m))) {
    if (!waiting.has(message.id)) continue;
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message)); else resolve(message.result);
  }
});
const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  const id = ++calls;
  waiting.set(id, { resolve, reject });
  child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
});

async function open(url) {
  const { targetId } = await send('Target.createTarget', { url });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  /// Until the page says that it is done.
  const finished = async () => {
    for (let i = 0; i < 1200; i++) {
      const state = await evaluate('document.body?.dataset.state');
      if (state === 'error') throw new Error(await evaluate('document.getElementById("error").textContent'));
      if (state === 'done') return evaluate('({ ...document.body.dataset })');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('the page does not end');
  };
  return { sessionId, evaluate, finished };
}

try {
  const page = await open(`${site}/index.html?picture=scene.png&quality=30`);
  const low = await page.finished();
  assert.ok(Number(low.bytes) > 100 && Number(low.psnr) > 20, JSON.stringify(low));
  await page.evaluate(`document.getElementById('quality').value = 80;
    document.getElementById('quality').dispatchEvent(new Event('input'));
    document.getElementById('quality').dispatchEvent(new Event('change'))`);
  const high = await page.finished();
  assert.ok(Number(high.bytes) > Number(low.bytes) && Number(high.psnr) > Number(low.psnr), JSON.stringify(high));
  const { data } = await send('Page.captureScreenshot', { format: 'png' }, page.sessionId);
  await writeFile(screenshot, Buffer.from(data, 'base64'));
  // What it saved opens again, in a second page that finds codec and model in the cache.
  const saved = await page.evaluate(`fetch(document.getElementById('save').href).then((r) => r.arrayBuffer()).then((b) => [...new Uint8Array(b)])`);
  assert.equal(saved.length, Number(high.bytes));
  const second = await open(`${site}/index.html`);
  for (let i = 0; i < 600 && (await second.evaluate('document.body?.dataset.state')) !== 'ready'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await second.evaluate(`{
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(${JSON.stringify(saved)})], 'a.sci'));
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true }));
  }`);
  const opened = await second.finished();
  assert.equal(opened.bytes, high.bytes);
  assert.deepEqual([requests['swiftcodec.wasm'], requests['flagship.scm']], [1, 1], 'codec and model are fetched once');
  console.log(`page: quality 30: ${low.bytes} bytes, ${low.psnr} dB; quality 80: ${high.bytes} bytes, ${high.psnr} dB; ${screenshot}`);
} finally {
  child.kill();
  server.close();
  await new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve()));
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
