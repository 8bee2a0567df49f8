// A demo, a browser, and checks that go on after a failure.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

export function options() {
  const found = {};
  for (let i = 2; i < process.argv.length; i += 2) found[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];
  for (const name of ['program', 'packages', 'chromium']) if (!found[name]) throw new Error(`--${name} is missing: start tests/page/run`);
  if (found.pictures) mkdirSync(found.pictures, { recursive: true });
  return found;
}
export const packages = at => createRequire(join(at, 'package.json'));
export const sleep = ms => new Promise(done => setTimeout(done, ms));

export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer().on('error', fail).listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)); });
  });
}

/** `tailburn demo` on a port of its own, with a short history. */
export class Demo {
  constructor(program, port, more = []) { Object.assign(this, { program, port, more, url: `http://127.0.0.1:${port}` }); }
  start() {
    const args = ['demo', '--http', `127.0.0.1:${this.port}`, '--slo', join(here, 'slos.yaml'), '--history', '1d', '--seed', '7', ...this.more];
    this.process = spawn(this.program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.process.on('error', e => { console.error(`${this.program}: ${e.message}`); process.exit(1); });
  }
  async stop() {
    if (!this.process || this.process.exitCode !== null) return;
    const gone = new Promise(done => this.process.once('exit', done));
    this.process.kill('SIGKILL');
    await gone;
  }
  /** Until the history is replayed. */
  async live(limit_s = 300) {
    for (let s = 0; s < limit_s; s++) {
      const is = await fetch(`${this.url}/readyz`).then(a => a.status === 200, () => false);
      if (is) return;
      await sleep(1000);
    }
    throw new Error(`the demo was not live after ${limit_s} s`);
  }
}

/** Runs checks one after the other; a failure is told at the end, with a picture where there is a page. */
export class Checks {
  failed = [];
  passed = 0;
  constructor(pictures) { this.pictures = pictures; }
  async run(name, check, page = null) {
    try {
      await check();
      this.passed += 1;
      console.log(`ok      ${name}`);
    } catch (e) {
      this.failed.push(name);
      console.log(`FAILED  ${name}\n        ${String(e.message ?? e).split('\n').slice(0, 12).join('\n        ')}`);
      if (page && this.pictures) await page.screenshot({ path: join(this.pictures, `failed-${this.failed.length}.png`) }).catch(() => {});
    }
  }
}
export function must(holds, otherwise) { if (!holds) throw new Error(otherwise); }
