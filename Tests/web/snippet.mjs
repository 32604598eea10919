// SPDX-License-Identifier: BSD-3-Clause
//
// What a page says when it has come to an end: node snippet.mjs CHROMIUM PAGE FOLDER…
import { start } from './browser.mjs';

const [browser, address, ...folders] = process.argv.slice(2);
const { open, stop } = await start(browser, ...folders);
try {
  console.log(await (await open(address)).until('document.body?.textContent.trim()'));
} finally {
  await stop();
}
