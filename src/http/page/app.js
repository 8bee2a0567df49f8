// The frame around the views: address, keys, theme, connection.
import { render } from './vendor/preact.mjs';
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.mjs';
import { isStale, link, now, standsFor, start, tryAgain, useClock, useStore, useToken, watch } from './data.js';
import * as w from './words.js';
import { How, HowPanel, Icon, Safe, href, html, route } from './parts.js';
import { Overview, useBase } from './overview.js';

/** Views that come after the first paint; all of them soon, so that they are there when the instance is not. */
const tenant = () => import('./tenant.js');
const LATER = {
  slo: () => import('./slo.js').then(m => m.OneSlo), tenants: () => tenant().then(m => m.Tenants), tenant: () => tenant().then(m => m.Tenant),
  processor: () => import('./processor.js').then(m => m.Processor),
};
const views = { '': Overview };
const load = name => LATER[name]().then(view => { views[name] = view; });
function useView(name) {
  const [, draw] = useState(0), [error, fail] = useState(null);
  useEffect(() => { if (LATER[name] && !views[name]) load(name).then(() => draw(n => n + 1), fail); }, [name]);
  if (error && !views[name]) throw error;
  return views[name] ?? (LATER[name] ? Soon : null);
}
const Soon = () => html`<p class="quiet loading" role="status">Loading …</p>`;
const titles = { '': 'Overview', slo: 'SLO', tenants: 'Tenants', tenant: 'Tenant', processor: 'Processor' };

function App() {
  const [at, set] = useState(route), main = useRef(null), [isHelp, help] = useState(false);
  useBase();
  useEffect(() => { const f = () => set(route()); addEventListener('hashchange', f); return () => removeEventListener('hashchange', f); }, []);
  useKeys(help);
  const view = at.path[0] ?? '', place = at.path.join('/');
  useLayoutEffect(() => { document.title = `${at.path[1] ?? titles[view] ?? 'Not found'} · tailburn`; }, [place]);
  // Pushed is what the view shows; alerts and cohorts of everything are asked for.
  useEffect(() => watch(view === 'slo' ? `slo=${encodeURIComponent(at.path[1])}` : view === 'tenant' ? `tenant=${encodeURIComponent(at.path[1])}` : `scope=${at.query.get('scope') ?? (view === 'tenants' ? 'tenant' : 'aggregate')}`));
  const isFirst = useRef(true);
  useEffect(() => {
    // A new view: reading begins at its title.
    if (!isFirst.current) { scrollTo(0, 0); main.current.querySelector('h1')?.focus({ preventScroll: true }); }
    isFirst.current = false;
  }, [place]);
  return html`<a class="skip" href="#main" onClick=${e => { e.preventDefault(); main.current.focus(); }}>To the content</a>
    <header class="bar">
      <a class="logo" href="#/" aria-label="tailburn: overview"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1 12.5c3-.2 4.2-8.7 6.6-8.7 2.2 0 2 6 4.2 7.6 1 .7 2 1 3.2 1.1" /><circle cx="13" cy="6.4" r="1.9" /></svg><span>tailburn</span></a>
      <nav aria-label="Views">${[['', 'Overview'], ['tenants', 'Tenants'], ['processor', 'Processor']].map(([k, name]) => html`<a href=${href(k ? [k] : [])} aria-current=${view === k || (k === 'tenants' && view === 'tenant') ? 'page' : null}>${name}</a>`)}</nav>
      <${Link} /><${Theme} />
      <button type="button" class="round" aria-label="Keys and words (?)" title="Keys and words (?)" onClick=${() => help(true)}><${Icon} name="help" /></button>
    </header>
    <${Banner} />
    <main id="main" tabindex="-1" ref=${main}><${Safe} key=${place} what="This view">${link.mode === 'locked' ? html`<${Locked} />` : html`<${View} name=${view} path=${at.path.slice(1)} query=${at.query} />`}<//></main>
    <${HowPanel} />${isHelp && html`<${Help} onClose=${() => help(false)} />`}`;
}

function View({ name, path, query }) {
  const Shown = useView(name);
  return Shown ? html`<${Shown} path=${path} query=${query} />` : html`<h1 tabindex="-1">No such view</h1><p>The address names none. <a href="#/">Overview</a></p>`;
}

function Locked() {
  const go = e => { e.preventDefault(); useToken(new FormData(e.currentTarget).get('token')); };
  return html`<h1 tabindex="-1">A token is needed</h1><p class="quiet">This instance shows its figures to holders of a token (<code>http.tokens</code>): an operator’s shows all, a tenant’s that tenant. It is kept for this tab alone.</p>
    <form class="filters" onSubmit=${go}><label>Token<input name="token" type="password" autocomplete="off" required /></label><button type="submit">Show the figures</button></form>`;
}

// --- the connection ---------------------------------------------------------------------------

const stateOfLink = () => link.mode === 'locked' ? ['none', 'locked'] : link.mode === 'lost' ? ['bad', 'disconnected'] : link.mode === 'connecting' ? ['none', 'connecting'] : link.phase && link.phase.phase !== 'live' ? ['warn', { restoring: 'catching up' }[link.phase.phase] ?? link.phase.phase] : isStale() ? ['warn', 'stale'] : ['ok', 'live'];
function Link() {
  useStore();
  useClock();
  const [tone, word] = stateOfLink(), at = now();
  const how = () => ({
    title: 'As of',
    text: 'All figures are of T, the newest boundary (every 10 s of event time) that all partitions of the input have passed. Times are UTC.',
    rows: [['T', at.slice(0, 19).replace('T', ' ') + ' UTC'], ['Updates', link.mode === 'live' ? 'pushed as they are published' : link.mode === 'polling' ? 'asked for every 5 s' : 'none'],
      ['Instance', location.host], ['It is', link.phase?.phase], ['Clock here', new Date().toISOString().slice(11, 19) + ' UTC']],
  });
  return html`<${How} of=${how} class=${`link ${tone}`}><span class="dot"></span><span class="word">${word}</span>${at && html`<time>${w.time(at, true)}<span class="unit"> UTC</span></time>`}<//>`;
}
function Banner() {
  useStore();
  useClock();
  const since = new Date(link.since).toISOString().slice(11, 19);
  let text = null;
  if (link.mode === 'lost') {
    const wait = Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000));
    text = ['bad', html`<strong>Disconnected from ${location.host} since ${since} UTC</strong>: ${link.error}. What you see is as of then. Is the instance running? ${wait > 0 ? `Trying again in ${wait} s.` : 'Trying …'} <button type="button" onClick=${tryAgain}>Try now</button>`];
  } else if (link.newer) text = ['warn', html`<strong>Another build of tailburn answers now.</strong> <button type="button" onClick=${() => location.reload()}>Load its page</button>`];
  else if (link.cause) text = ['bad', html`<strong>The instance is not ready:</strong> ${link.cause} <a href="#/processor">Processor</a>`];
  else if (link.phase && link.phase.phase !== 'live') text = ['warn', html`<strong>${{ starting: 'Starting', restoring: 'Catching up with what was recorded', stopping: 'Stopping' }[link.phase.phase]}</strong>${link.phase.assigned ? `: ${link.phase.live} of ${link.phase.assigned} tasks are live` : ''}. Figures move fast until it is live.`];
  else if (isStale()) text = ['warn', html`<strong>Nothing new for ${w.span(standsFor())}</strong>: T stands at ${w.time(now(), true)} UTC. Either no events arrive, or a partition holds T back: <a href="#/processor">what holds it</a>.`];
  return html`<div role="status" class="banners">${text && html`<div class=${`banner ${text[0]}`}>${text[1]}</div>`}</div>`;
}

// --- theme ------------------------------------------------------------------------------------

function Theme() {
  const root = document.documentElement, [theme, set] = useState(root.dataset.theme ?? '');
  const next = { '': 'dark', dark: 'light', light: '' }[theme], name = t => t || 'as the system';
  const turn = () => {
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    try { next ? localStorage.setItem('theme', next) : localStorage.removeItem('theme'); } catch { /* Not kept. */ }
    set(next);
    dispatchEvent(new Event('themechange'));
  };
  return html`<button type="button" class="round" onClick=${turn} aria-label=${`Theme: ${name(theme)}. Change to ${name(next)}`} title=${`Theme: ${name(theme)}`}><${Icon} name="theme" /></button>`;
}

// --- keys -------------------------------------------------------------------------------------

const links = () => [...document.querySelectorAll('main .cards a, main tbody th a, main .lines a')];
function step(by) {
  const all = links(), i = all.indexOf(document.activeElement.closest?.('tr, a')?.querySelector?.('th a') ?? document.activeElement);
  const to = all[i < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, i + by))];
  to?.focus();
  to?.scrollIntoView({ block: 'nearest' });
}
function useKeys(help) {
  useEffect(() => {
    const f = e => {
      const isTyping = e.target.matches?.('input, select, textarea');
      if (e.key === 'Escape') return escape(e, isTyping);
      if (isTyping || e.ctrlKey || e.metaKey || e.altKey) return;
      const act = { j: () => step(1), k: () => step(-1), '/': () => document.querySelector('#find')?.focus(), '?': () => help(true), i: () => document.activeElement.closest?.('tr')?.querySelector('.how, [data-how]')?.click(), o: () => { location.hash = '#/'; }, t: () => { location.hash = '#/tenants'; }, p: () => { location.hash = '#/processor'; } }[e.key];
      if (act) { e.preventDefault(); act(); }
    };
    addEventListener('keydown', f);
    return () => removeEventListener('keydown', f);
  }, []);
}
function escape(e, isTyping) {
  if (document.querySelector('dialog[open], :popover-open')) return;
  if (isTyping) {
    if (e.target.value) { e.target.value = ''; e.target.dispatchEvent(new Event('input', { bubbles: true })); } else e.target.blur();
    e.preventDefault();
  } else if (route().path[0]) location.hash = '#/';
}

const KEYS = [['j  k', 'next, previous row'], ['Enter', 'open it'], ['i', 'how the numbers of a row were computed'], ['/', 'search'], ['Esc', 'close, clear, back to the overview'], ['o  t  p', 'overview, tenants, processor'], ['?', 'this']];
const WORDS = [
  ['SLI', 'The share of events that were good: what customers got.'],
  ['Objective', 'The share that should be good, over a period such as 28 days.'],
  ['Error budget', 'What may fail: 1 − objective. At 99 % one event in a hundred.'],
  ['Burn rate', 'How fast the budget is spent. 1× is exactly as fast as allowed; 14× ends 28 days’ budget in two.'],
  ['Page, ticket', 'An alert that wakes somebody now; one for working hours.'],
  ['Users below', 'Users whose own SLI is below the objective, beside how many chance alone would put there.'],
  ['Cohort', 'Attribute values that the badly served users share, such as region = eu: who is hit.'],
  ['Tail', 'The worst-served users. An aggregate can look fine while they suffer.'],
  ['T', 'The boundary (every 10 s of event time) all figures are of. All times are UTC.'],
  ['Unclassified', 'Events that lack a field the SLO reads: neither good nor bad.'],
];
function Help({ onClose }) {
  const el = useRef(null);
  useLayoutEffect(() => { el.current.showModal(); }, []);
  return html`<dialog ref=${el} class="help" aria-labelledby="help" onClose=${onClose} onClick=${e => { if (e.target === el.current) el.current.close(); }}>
    <div class="head"><h2 id="help">Keys and words</h2><button type="button" onClick=${() => el.current.close()}>Close</button></div>
    <table><caption class="hide">Keys</caption><tbody>${KEYS.map(([k, text]) => html`<tr><th scope="row">${k.split('  ').map(x => html`<kbd>${x}</kbd> `)}</th><td>${text}</td></tr>`)}</tbody></table>
    <dl>${WORDS.map(([k, text]) => html`<dt>${k}</dt><dd>${text}</dd>`)}</dl>
    <p>A number with a dotted line says how it was computed. Everything here is in the API as well: <a href="/help">/help</a>.</p>
  </dialog>`;
}

const root = document.getElementById('app');
root.textContent = '';
start();
render(html`<${App} />`, root);
setTimeout(() => Object.keys(LATER).forEach(name => load(name).catch(() => { /* Again when it is opened. */ })), 1_500);
