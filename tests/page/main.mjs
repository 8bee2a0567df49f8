// The page in Chromium: each view in light, dark and at phone width, by keyboard, live, without a server, and with
// answers that are late, empty, stale, missing or broken.
import { join } from 'node:path';
import { Checks, Demo, freePort, must, options, packages, sleep } from './harness.mjs';

const given = options(), load = packages(given.packages);
const { chromium } = load('playwright-core'), axe = load.resolve('axe-core');
const SLO = '#/slo/checkout-availability';
const VIEWS = { overview: '#/', slo: SLO, tenants: '#/tenants', tenant: '#/tenant/acme', processor: '#/processor', help: '#/' };
const LOOKS = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
const LIMIT_BYTES = 150_000;

const checks = new Checks(given.pictures);
const demo = new Demo(given.program, await freePort());
demo.start();
const browser = await chromium.launch({ executablePath: given.chromium, args: ['--no-sandbox'] });

/** A page that notes errors on the console and violations of the policy. */
async function open(look = 'light', hash = '#/', prepare = null) {
  const context = await browser.newContext(LOOKS[look]), page = await context.newPage();
  page.errors = [];
  page.on('console', m => { if (m.type() === 'error') page.errors.push(`${m.text()} ${m.location().url}`); });
  page.on('pageerror', e => page.errors.push(e.message));
  await page.addInitScript(() => addEventListener('securitypolicyviolation', e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`)));
  if (prepare) await prepare(page);
  await page.goto(`${demo.url}/${hash}`);
  return page;
}
/** A part of the API that this build lacks is no error of the page. */
const ours = errors => errors.filter(e => !/404 .*\/api\/v1\//.test(e));
const text = (page, selector) => page.locator(selector).first().innerText();
async function settled(page) {
  await page.locator('main h1').first().waitFor();
  await page.locator('main .loading').first().waitFor({ state: 'detached', timeout: 20_000 }).catch(() => {});
  await page.locator('.plot canvas').first().waitFor({ timeout: 1_500 }).catch(() => {});
}
async function accessible(page) {
  if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(await source());
  const found = await page.evaluate(() => globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  must(found.violations.length === 0, found.violations.map(v => `${v.id}: ${v.help}\n  ${v.nodes.slice(0, 3).map(n => `${n.target} ${n.failureSummary?.split('\n')[1] ?? ''}`).join('\n  ')}`).join('\n'));
}
let axeSource = null;
async function source() { return axeSource ??= (await import('node:fs')).readFileSync(axe, 'utf8'); }

await demo.live();
const liveSince = Date.now(), watcher = await open();
const TICKET = page => page.locator('.event', { hasText: 'ticket' }).filter({ hasText: '=' }).first();
const incident = TICKET(watcher).waitFor({ timeout: 280_000 }).then(() => Date.now() - liveSince, () => null);

// --- each view in each look -------------------------------------------------------------------

for (const look of Object.keys(LOOKS)) {
  const page = await open(look);
  for (const [name, hash] of Object.entries(VIEWS)) {
    await checks.run(`${name}, ${look}: shown, accessible, no wider than the screen, no error`, async () => {
      await page.goto(`${demo.url}/${hash}`);
      await settled(page);
      if (name === 'help') { await page.keyboard.press('?'); await page.locator('dialog[open]').waitFor(); }
      const broken = await page.getByText('cannot be shown').count();
      must(broken === 0, `${broken} parts cannot be shown`);
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      must(wide <= screen, `${wide} px on a screen of ${screen}`);
      await accessible(page);
      must(ours(page.errors).length === 0, ours(page.errors).join('\n'));
      if (given.pictures) await page.screenshot({ path: join(given.pictures, `${name}-${look}.png`), fullPage: name !== 'help' });
    }, page);
  }
  await page.context().close();
}

// --- figures, keys, addresses -----------------------------------------------------------------

const page = await open();
await settled(page);
await checks.run('the page shows the numbers of the API', async () => {
  const { items } = await (await fetch(`${demo.url}/api/v1/status?scope=aggregate`)).json();
  const rows = await page.locator('table.long tbody tr:not(.gap)').count();
  must(rows === items.length, `${rows} rows of ${items.length}`);
  const least = items.filter(s => s.budget_remaining !== null).sort((a, b) => a.budget_remaining - b.budget_remaining)[0];
  const first = await text(page, 'table.long tbody tr:not(.gap)');
  must(first.includes(least.display_name), `first: ${first}; least budget: ${least.slo}`);
}, page);
await checks.run('keys: / searches, Esc clears, j and k move, Enter opens, Esc goes back', async () => {
  await page.keyboard.press('/');
  await page.keyboard.type('search');
  await page.waitForFunction(() => document.querySelectorAll('table.long tbody tr:not(.gap)').length === 2);
  must(page.url().includes('q=search'), 'the address does not hold the search');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelectorAll('table.long tbody tr:not(.gap)').length > 2);
  await page.keyboard.press('Escape');
  await page.locator('table.long tbody th a').first().focus();
  const first = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press('j');
  const second = await page.evaluate(() => document.activeElement.textContent);
  must(second && second !== first, 'j did not move');
  await page.keyboard.press('k');
  must(await page.evaluate(() => document.activeElement.textContent) === first, 'k did not move back');
  await page.keyboard.press('Enter');
  await page.locator('#big').waitFor();
  must(page.url().includes('#/slo/'), page.url());
  await page.goBack();
  await page.locator('table.long').waitFor();
  await page.goForward();
  await page.locator('#big').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('table.long').waitFor();
}, page);
await checks.run('a number says how it was computed, by keyboard, and gives the focus back', async () => {
  await page.goto(`${demo.url}/${SLO}`);
  const number = page.locator('.bigs .how').first();
  await number.focus();
  await page.keyboard.press('Enter');
  await page.locator('#how:popover-open').waitFor();
  const said = await text(page, '#how');
  for (const part of ['÷', 'As of (T)', 'Definition', 'Not counted', 'Window']) must(said.includes(part), `no ${part} in: ${said}`);
  await accessible(page);
  await page.keyboard.press('Escape');
  await page.locator('#how:popover-open').waitFor({ state: 'detached' });
  must(await number.evaluate(e => e === document.activeElement), 'the focus was lost');
  must(page.url().includes('#/slo/'), 'Esc left the view');
}, page);
await checks.run('the theme is kept', async () => {
  const dark = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  await page.getByLabel(/^Theme/).click();
  must(await dark() === 'dark', await dark());
  await page.reload();
  await settled(page);
  must(await dark() === 'dark', 'after a reload: ' + await dark());
}, page);
await checks.run('figures move without a reload', async () => {
  await page.goto(`${demo.url}/#/`);
  await settled(page);
  const before = await text(page, '.link time');
  await page.waitForFunction(t => document.querySelector('.link time').innerText !== t, before, { timeout: 60_000 });
}, page);

await checks.run('the incident is on the page by itself: a ticket with its cohort, and bad requests one click away', async () => {
  const took = await incident;
  must(took !== null, 'no ticket with a cohort');
  console.log(`        seen ${Math.round(took / 1000)} s after the live part began, which runs at 60 times the clock`);
  await TICKET(watcher).click();
  await watcher.locator('.episodes table').first().waitFor();
  if (given.pictures) await watcher.screenshot({ path: join(given.pictures, 'incident.png'), fullPage: true });
}, watcher);
await watcher.context().close();

await checks.run('two periods of the history are compared: dragged over, in the address, by keys alone', async () => {
  const page = await open('light', SLO);
  await settled(page);
  const chart = page.locator('.plot .u-over').first();
  const drag = async (from, to) => {
    const { x, y, width } = await chart.boundingBox();
    await page.mouse.move(x + width * from, y + 20);
    await page.mouse.down();
    await page.mouse.move(x + width * to, y + 24, { steps: 5 });
    await page.mouse.up();
  };
  await drag(0.2, 0.4);
  await page.locator('.periods thead .span-a').first().waitFor();
  must(await page.locator('.periods thead .span-b').count() === 0, 'one span is one period');
  await page.keyboard.down('Shift');
  await drag(0.6, 0.9);
  await page.keyboard.up('Shift');
  await page.locator('.periods thead .span-b').first().waitFor();
  const { a, b } = Object.fromEntries(new URLSearchParams(page.url().split('?')[1])), ms = at => Date.parse(`${at}Z`);
  const { items } = await (await fetch(`${demo.url}/api/v1/history?key=checkout-availability%7Caggregate&limit=1000`)).json();
  const inside = span => { const [from, to] = span.split('/').map(ms); return items.filter(i => Date.parse(i.at) > from && Date.parse(i.at) <= to); };
  const cells = await page.locator('.periods tbody tr').first().locator('td').allInnerTexts();
  must(cells.join() === [inside(a).length, inside(b).length].join(), `hours: ${cells} of ${inside(a).length}, ${inside(b).length}`);
  const good = (await page.locator('.periods tr', { hasText: 'Bad' }).locator('td').first().innerText());
  must(good === String(inside(a).reduce((n, i) => n + i.bad, 0).toLocaleString('en')), `bad events: ${good}`);
  await page.reload();
  await page.locator('.periods thead .span-b').first().waitFor();
  await accessible(page);
  await page.getByLabel('B from').fill(a.split('/')[0]);
  await page.getByLabel('B to').fill(a.split('/')[1]);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => { const [x, y] = [...document.querySelectorAll('.periods tbody tr')[1].querySelectorAll('td')].map(td => td.innerText); return x === y; });
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.waitForFunction(() => !location.hash.includes('a='));
  must(ours(page.errors).length === 0, ours(page.errors).join('\n'));
  await page.context().close();
});
await checks.run('a tenant has the name and the owner of the file of tenants, and is found by them', async () => {
  const named = [{ tenant: 'acme', display_name: 'Acme, Inc.', owner: 'ann@example.com', labels: { tier: 'gold' } }];
  const page = await open('light', '#/tenants', page => page.route(/\/api\/v1\/tenants/, r => r.fulfill({ json: { items: named, next: null, total: 1, not_shown: 0 } })));
  await page.locator('#find').fill('ann@');
  await page.waitForFunction(() => document.querySelectorAll('table.long tbody th a').length === 1);
  must((await text(page, 'table.long tbody th')).includes('acme · owner ann@example.com'), await text(page, 'table.long tbody th'));
  await page.locator('table.long tbody th a').click();
  await page.locator('h1', { hasText: 'Acme, Inc.' }).waitFor();
  await page.getByText('tier gold').waitFor();
  await accessible(page);
  if (given.pictures) await page.screenshot({ path: join(given.pictures, 'tenant-named.png') });
  await page.locator('#own ~ * tbody th a, section:has(#own) tbody th a').first().click();
  await page.locator('h1 .of', { hasText: 'Acme, Inc.' }).waitFor();
  must(ours(page.errors).length === 0, ours(page.errors).join('\n'));
  await page.context().close();
});

// --- without a server -------------------------------------------------------------------------

await checks.run('disconnected: it says so and goes on showing; reconnected: it goes on by itself', async () => {
  await page.goto(`${demo.url}/#/`);
  await settled(page);
  await demo.stop();
  try {
    await page.locator('.banner.bad', { hasText: 'Disconnected' }).waitFor({ timeout: 30_000 });
    must(await page.locator('table.long tbody tr:not(.gap)').count() > 0, 'the rows are gone');
    await accessible(page);
    if (given.pictures) await page.screenshot({ path: join(given.pictures, 'disconnected.png') });
  } finally {
    demo.start();
    await demo.live();
  }
  await page.locator('.banner.bad').waitFor({ state: 'detached', timeout: 60_000 });
  await page.waitForFunction(() => document.querySelector('.link .word').innerText === 'live', null, { timeout: 30_000 });
}, page);
await page.context().close();

// --- answers as one would rather not have them ------------------------------------------------

// A demo is live when its history is sent; its first statuses may come a little later.
let real = [];
for (let s = 0; s < 120 && real.length < 4; s++) {
  await sleep(1000);
  real = (await (await fetch(`${demo.url}/api/v1/status?scope=aggregate`)).json()).items;
}
/** Answers all lists of statuses with these, and has nothing newer than them: what the demo goes on to publish must not
 * arrive by another path, and whether it is live must not depend on how busy this machine is. */
const answers = (items, wait_ms = 0) => async page => {
  await page.route('**/readyz', r => r.fulfill({ json: { phase: 'live' } }));
  await page.route(/\/api\/v1\//, r => r.fulfill({ status: 404, json: { error: 'not here' } }));
  await page.route(/\/api\/v1\/(alerts|cohorts)/, r => r.fulfill({ json: { items: [], next: null, total: 0, not_shown: 0 } }));
  await page.route(/\/api\/v1\/status/, async r => { await sleep(wait_ms); await r.fulfill({ json: { items, next: null, total: items.length, not_shown: 0 } }).catch(() => {}); });
};
const many = n => Array.from({ length: n }, (_, i) => ({ ...real[i % real.length], slo: `slo-${String(i).padStart(5, '0')}`, display_name: `Objective ${i}`, budget_remaining: i / n }));

await checks.run('empty: it says what to do', async () => {
  const page = await open('light', '#/', answers([]));
  await page.getByText('No SLO has a status yet').waitFor();
  await accessible(page);
  await page.context().close();
});
await checks.run('loading: it says so', async () => {
  const page = await open('light', '#/', answers(real, 3_000));
  await page.locator('main .loading').waitFor();
  await page.locator('table.long').waitFor();
  await page.context().close();
});
await checks.run('while the instance catches up, the page says so', async () => {
  const page = await open('light', '#/', async page => {
    await answers(real)(page);
    await page.route('**/readyz', r => r.fulfill({ status: 503, json: { phase: 'restoring', live: 1, assigned: 4 } }));
  });
  await page.locator('.banner', { hasText: '1 of 4 tasks are live' }).waitFor();
  await page.context().close();
});
await checks.run('a filter that nothing passes can be cleared', async () => {
  const page = await open('light', '#/?q=nosuchslo', answers(real));
  await page.getByText('No SLO matches').waitFor();
  await page.getByText('Clear the filters').click();
  await page.locator('table.long tbody th a').first().waitFor();
  await page.context().close();
});
await checks.run('what is pushed is shown', async () => {
  const pushed = { ...real[0], at: '2099-01-01T00:00:00.000Z', display_name: 'Pushed just now' };
  const page = await open('light', '#/', async page => {
    await answers(real)(page);
    const body = `retry: 500\n\nevent: status\ndata: not JSON\n\nevent: status\ndata: ${JSON.stringify({ key: `${pushed.slo}|aggregate`, record: pushed })}\n\n`;
    await page.route('**/api/v1/events*', r => r.fulfill({ contentType: 'text/event-stream', body }));
  });
  await page.locator('table.long', { hasText: 'Pushed just now' }).waitFor();
  must(await page.locator('table.long tbody th a').count() === real.length, 'a row came or went');
  await page.context().close();
});
await checks.run('where a token is needed, it is asked for, and sent', async () => {
  const page = await open('light', '#/', page => page.route('**/api/v1/**', r => r.request().headers().authorization === 'Bearer secret' ? r.continue() : r.fulfill({ status: 401, json: { error: 'a token is needed' } })));
  await page.getByLabel('Token').fill('secret');
  await accessible(page);
  await page.keyboard.press('Enter');
  await page.locator('table.long tbody th a').first().waitFor();
  await page.context().close();
});
await checks.run('one broken record hides no other', async () => {
  const broken = { ...real[0], slo: 'broken', windows: 17 };
  const page = await open('light', '#/', answers([broken, null, ...real]));
  await page.getByText('cannot be shown').first().waitFor();
  const rows = await page.locator('table.long tbody th a').count();
  must(rows === real.length, `${rows} rows of ${real.length} are shown`);
  await page.goto(`${demo.url}/#/slo/broken`);
  await page.getByText('cannot be shown').first().waitFor();
  must(await page.locator('#definition').count() > 0, 'the other parts of its view are gone');
  await page.context().close();
});
await checks.run('stale: it says since when, and where to look', async () => {
  const page = await open('light', '#/', async page => { await page.clock.install(); await answers(real)(page); });
  await page.locator('table.long').waitFor();
  await page.clock.fastForward(200_000);
  await page.locator('.banner.warn', { hasText: 'Nothing new for' }).waitFor({ timeout: 15_000 }).catch(async e => {
    throw new Error(`${e.message}\nbanner: ${await text(page, '.banners') || 'none'}; beside the title: ${await text(page, '.link')}`);
  });
  await page.context().close();
});
await checks.run('missing parts of the API are said, and the rest is shown', async () => {
  const page = await open('light', SLO, answers(real));
  await page.getByText('not served here').first().waitFor();
  must(await page.locator('.bigs .figure').count() >= 3, 'the numbers are gone');
  must(ours(page.errors).length === 0, ours(page.errors).join('\n'));
  await page.context().close();
});
await checks.run('10,000 rows: few of them are in the document, and the last one can be reached', async () => {
  const page = await open('light', '#/', answers(many(10_000)));
  await page.locator('table.long tbody th a').first().waitFor();
  must(await page.locator('table.long tbody tr').count() < 120, 'too many rows');
  const took = await page.evaluate(async () => {
    const input = document.querySelector('#find'), begin = performance.now();
    input.value = 'objective 77';
    input.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begin;
  });
  console.log(`        a search through 10,000 rows took ${took.toFixed(0)} ms to be on the screen`);
  await page.keyboard.press('/');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('#find').value === '');
  await page.waitForTimeout(300);
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await page.getByText('Objective 9999').waitFor({ timeout: 5_000 });
  await page.context().close();
});

// --- bytes and the first paint ----------------------------------------------------------------

await checks.run(`everything that the page loads is at most ${LIMIT_BYTES / 1000} kB`, async () => {
  const page = await open('light', SLO, async page => {
    page.sent = 0;
    page.plain = 0;
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    const files = new Set();
    session.on('Network.responseReceived', e => { if (!new URL(e.response.url).pathname.startsWith('/api/') && !/readyz|metrics/.test(e.response.url)) files.add(e.requestId); });
    session.on('Network.dataReceived', e => { if (files.has(e.requestId)) page.plain += e.dataLength; });
    session.on('Network.loadingFinished', e => { if (files.has(e.requestId)) page.sent += e.encodedDataLength; });
  });
  await settled(page);
  await page.waitForTimeout(1_500);
  const paint_ms = await page.evaluate(() => {
    // The bytes that a first paint needs: the document, its style and the script in its head.
    const needed = performance.getEntriesByType('resource').filter(r => /page\.css|theme\.js/.test(r.name)).map(r => r.responseEnd);
    return performance.getEntriesByType('paint').find(p => p.name === 'first-contentful-paint').startTime - Math.max(performance.getEntriesByType('navigation')[0].responseEnd, ...needed);
  });
  console.log(`        ${page.sent} bytes sent, ${page.plain} bytes unpacked; first paint ${paint_ms.toFixed(0)} ms after the bytes that it needs`);
  must(page.sent > 20_000 && page.sent <= LIMIT_BYTES, `${page.sent} bytes`);
  await page.context().close();
});

await browser.close();
await demo.stop();
console.log(`\n${checks.passed} checks passed, ${checks.failed.length} failed${checks.failed.length ? ':\n  ' + checks.failed.join('\n  ') : ''}`);
process.exit(checks.failed.length ? 1 : 0);
