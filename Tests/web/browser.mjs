// SPDX-License-Identifier: BSD-3-Clause
//
// Pages in headless Chromium, by the DevTools protocol over the browser's pipe: messages of JSON, each with a zero byte behind it.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm', '.png': 'image/png' };

/// Serves the files of `folders`, the first that has one, and starts a browser. `requests` counts them by name.
export async function start(browser, ...folders) {
  const requests = {};
  const server = createServer(async (request, response) => {
    const name = path.basename(new URL(request.url, 'http://localhost').pathname) || 'index.html';
    requests[name] = (requests[name] ?? 0) + 1;
    for (const folder of folders) {
      try {
        const bytes = await readFile(`${folder}/${name}`);
        response.writeHead(200, { 'content-type': types[path.extname(name)] ?? 'application/octet-stream' }).end(bytes);
        return;
      } catch {
        // The next one.
      }
    }
    response.writeHead(404).end();
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

  /// A page of the site.
  async function open(address) {
    const { targetId } = await send('Target.createTarget', { url: `${site}/${address}` });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    const evaluate = async (expression) => {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
    /// The value of an expression when it is true; within two minutes.
    const until = async (expression) => {
      for (let i = 0; i < 1200; i++) {
        const value = await evaluate(expression);
        if (value) return value;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`${address}: ${expression} does not become true`);
    };
    const screenshot = async () => Buffer.from((await send('Page.captureScreenshot', { format: 'png' }, sessionId)).data, 'base64');
    return { evaluate, until, screenshot };
  }

  async function stop() {
    child.kill();
    server.close();
    await new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve()));
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
  return { open, stop, requests };
}
