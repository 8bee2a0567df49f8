// What the page knows: the latest record of each key, how it is connected, and what single views asked for.
// It computes no figure; every number shown is one of a published record.
import { useEffect, useState } from './vendor/hooks.mjs';

const TIMEOUT_MS = 15_000, POLL_MS = 5_000, OFTEN_MS = 10_000, SLOW_MS = 60_000, STALE_MS = 150_000, PAGE = 1_000;

/** By key (`status`, `canaries`) or by id. */
export const store = { status: new Map(), alerts: new Map(), cohorts: new Map(), canaries: new Map() };
/** mode: connecting, live (events), polling, lost, locked (a token is needed). `phase` is that of /readyz. */
export const link = { mode: 'connecting', since: Date.now(), retryAt: 0, error: '', phase: null, cause: null, newer: false };

let token = '';
try { token = sessionStorage.getItem('token') ?? ''; } catch { /* Storage is off. */ }
export const hasToken = () => token !== '';
/** For this tab alone. */
export function useToken(text) {
  token = text.trim();
  try { sessionStorage.setItem('token', token); } catch { /* Until the tab is loaded again. */ }
  refreshAll(() => true);
}
const head = accept => ({ accept, ...(token && { authorization: `Bearer ${token}` }) });

const listeners = new Set();
let isTold = false;
/** Views draw once a frame at most, however many records arrive. */
export function changed() {
  if (isTold) return;
  isTold = true;
  setTimeout(() => requestAnimationFrame(() => { isTold = false; listeners.forEach(f => f()); }), 50);
}
const clocks = new Set();
/** Draws the calling view again every second. */
export function useClock() {
  const [, set] = useState(0);
  useEffect(() => { const f = () => set(x => x + 1); clocks.add(f); return () => clocks.delete(f); }, []);
}
/** Draws the calling view again whenever something changed. */
export function useStore() {
  const [n, set] = useState(0);
  useEffect(() => { const f = () => set(x => x + 1); listeners.add(f); return () => listeners.delete(f); }, []);
  return n;
}

// --- keys, as the contract writes them --------------------------------------------------------

const part = text => String(text).replace(/[%|,=]/g, c => '%' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'));
export function keyOf(r) {
  if (r.scope === 'tenant') return `${part(r.slo)}|tenant|${part(r.tenant)}`;
  if (r.scope !== 'group') return `${part(r.slo)}|aggregate`;
  return `${part(r.slo)}|group|` + Object.keys(r.group).sort().map(k => `${part(k)}=${part(r.group[k])}`).join(',');
}
const names = {
  status: keyOf, alerts: r => r.id, cohorts: r => r.id,
  canaries: r => `${part(r.slo)}|${r.tenant === null ? '*' : part(r.tenant)}|${r.candidate}`,
};

// --- T ----------------------------------------------------------------------------------------

let newest = '', movedAt = performance.now();
/** The newest boundary seen, as text. */
export const now = () => newest;
export const isStale = () => newest !== '' && performance.now() - movedAt > STALE_MS;
export const standsFor = () => performance.now() - movedAt;
function saw(at) {
  if (at > newest) { newest = at; movedAt = performance.now(); }
}

export function put(shelf, record) {
  try {
    const name = names[shelf](record), old = store[shelf].get(name);
    // Answers may overtake events: never go back.
    if (old && (old.at > record.at || (old.at === record.at && old.seq > record.seq))) return;
    store[shelf].set(name, record);
    if (shelf !== 'canaries' && record.at) saw(record.at);
  } catch { store[shelf].set('unreadable', { unreadable: true }); }
}
/** `covers`: the records that an answer would have held if they still were as they are here. */
function refill(shelf, items, covers) {
  const seen = new Set(items.map(r => { try { return names[shelf](r); } catch { return null; } }));
  for (const [name, record] of store[shelf]) if (!record.unreadable && covers(record) && !seen.has(name)) store[shelf].delete(name);
  items.forEach(r => put(shelf, r));
}

// --- asking -----------------------------------------------------------------------------------

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
export async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), headers: head('application/json') });
  } catch (e) {
    lost(e.name === 'TimeoutError' ? `no answer within ${TIMEOUT_MS / 1000} s` : 'the connection was refused or broke off');
    throw e;
  }
  if (answer.status === 401) mode('locked'); else found();
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body?.error ?? `HTTP ${answer.status}`);
  if (body === null) throw new Refused(answer.status, 'the answer was not JSON');
  return body;
}
/** All pages of a list, up to `most` records; `first` gets the first one as soon as it is there. */
export async function list(path, first = () => {}, most = 20_000) {
  const items = [];
  let after = '', total = 0, isCut = false, body;
  do {
    body = await ask(`${path}${path.includes('?') ? '&' : '?'}limit=${PAGE}${after && '&after=' + encodeURIComponent(after)}`);
    items.push(...body.items);
    total = body.total ?? items.length;
    after = body.next;
    isCut = Boolean(after) && items.length >= most;
    if (after && items.length <= PAGE) first({ ...body, items: [...items], total, isCut: true });
  } while (after && !isCut);
  return { ...body, items, total, isCut };
}

// --- resources of views -----------------------------------------------------------------------

const resources = new Map();
/** Loads `path` while the view is shown and again in between; `shelf`: its items go to the store, too. */
export function useApi(path, { shelf = null, covers = () => false, isList = true, isSlow = false, isOften = false } = {}) {
  const [, draw] = useState(0);
  let r = path && resources.get(path);
  if (path && !r) resources.set(path, r = { path, shelf, covers, isList, isSlow, isOften, views: new Set(), data: null, error: null, at: 0 });
  useEffect(() => {
    if (!r) return;
    const f = () => draw(n => n + 1);
    r.views.add(f);
    if (!r.data || performance.now() - r.at > POLL_MS) refresh(r);
    return () => { r.views.delete(f); };
  }, [path]);
  return { data: r?.data ?? null, error: r?.error ?? null, isMissing: r?.error?.status === 404, isLoading: Boolean(r && !r.data && !r.error) };
}
/** What the file of tenants says, by tenant; a tenant that it does not name is called by its id. */
const tenants = new Map();
export const tenantOf = id => tenants.get(id) ?? {};
/** Asks for one tenant, or for all of them. */
export function useTenants(id = null, isWanted = true) {
  const of = useApi(isWanted ? `/api/v1/tenants${id ? `?tenant=${encodeURIComponent(id)}` : ''}` : null, { isSlow: true });
  of.data?.items.forEach(t => tenants.set(t.tenant, t));
}
async function refresh(r) {
  if (r.isBusy) return;
  r.isBusy = true;
  try {
    const first = data => { if (!r.data) { r.data = data; r.views.forEach(f => f()); } };
    const data = await (r.isList ? list(r.path, first) : ask(r.path));
    if (r.shelf) data.isCut ? data.items.forEach(i => put(r.shelf, i)) : refill(r.shelf, data.items, r.covers);
    Object.assign(r, { data, error: null });
  } catch (error) { r.error = error; }
  r.isBusy = false;
  r.at = performance.now();
  r.views.forEach(f => f());
  if (r.shelf) changed();
}
const isFirm = r => r.error?.status === 404 && performance.now() - r.at < 120_000;
function refreshAll(isDue) {
  for (const r of resources.values()) {
    // What nobody looks at is forgotten, so that an old answer is not shown as a new one.
    if (r.views.size === 0) { if (performance.now() - r.at > SLOW_MS) resources.delete(r.path); } else if (isDue(r)) refresh(r);
  }
}

// --- the connection ---------------------------------------------------------------------------

let source = null, wanted = 'scope=aggregate', hasEvents = true, tries = 0, retry = 0;
/** Which changes are pushed: those that the view shows. */
export function watch(query) {
  if (query === wanted) return;
  wanted = query;
  source?.close();
  source = null;
  connect();
}
function mode(to, error = '') {
  if (link.mode !== to) Object.assign(link, { mode: to, since: Date.now() });
  link.error = error;
  changed();
}
function lost(error) {
  mode('lost', error);
  clearTimeout(retry);
  const wait_ms = Math.min(15_000, 1_000 * 2 ** tries++);
  link.retryAt = Date.now() + wait_ms;
  retry = setTimeout(tryAgain, wait_ms);
}
function found() {
  tries = 0;
  if (link.mode === 'locked') connect();
  if (link.mode === 'lost') { refreshAll(() => true); newerAssets(); connect(); }
  if (link.mode !== 'live') mode(source?.readyState === 1 ? 'live' : 'polling');
}
export const tryAgain = () => ask('/readyz').then(ready, refusedReady);
function ready(body) { Object.assign(link, { phase: body, cause: body.cause ?? null }); changed(); }
function refusedReady(e) { if (e instanceof Refused) askPhase(); }
/** /readyz says 503 with the phase in its body. */
async function askPhase() {
  try { ready(await (await fetch('/readyz', { signal: AbortSignal.timeout(TIMEOUT_MS) })).json()); if (link.mode !== 'locked') found(); } catch { lost('the connection was refused or broke off'); }
}
export const metrics = () => fetch('/metrics', { headers: head('text/plain') }).then(a => (a.ok ? a.text() : ''));
/** After a restart another build may answer: its page has other assets. */
async function newerAssets() {
  try {
    const mine = document.querySelector('meta[name=assets]').content;
    link.newer = !(await (await fetch('/', { headers: { accept: 'text/html' } })).text()).includes(`content="${mine}"`);
    changed();
  } catch { /* The next reconnection asks again. */ }
}

const SHELVES = { status: 'status', alert: 'alerts', cohort: 'cohorts', canary: 'canaries' };
function connect() {
  // A browser's event stream carries no token: the lists are asked for instead.
  if (!hasEvents || source || token) return;
  const own = source = new EventSource(`/api/v1/events?${wanted}`);
  own.onopen = () => { tries = 0; mode('live'); };
  own.onerror = () => {
    if (own !== source) return;
    if (own.readyState === 2) {
      // Refused: there are no events here, or too many viewers. Lists are asked for instead.
      hasEvents = false;
      source = null;
      setTimeout(() => { hasEvents = true; connect(); }, SLOW_MS);
      if (link.mode === 'live') mode('polling');
    } else setTimeout(() => { if (own === source && own.readyState !== 1) askPhase(); }, 2_500); // The browser opens it again.
  };
  own.addEventListener('reset', () => refreshAll(() => true));
  own.addEventListener('history', e => {
    try { refreshAll(r => r.path === `/api/v1/history?key=${encodeURIComponent(JSON.parse(e.data).key)}`); } catch { /* The next hour. */ }
  });
  for (const [event, shelf] of Object.entries(SHELVES)) {
    own.addEventListener(event, e => {
      try {
        const { key, record } = JSON.parse(e.data);
        if (record) put(shelf, record); else store[shelf].delete(key);
        changed();
      } catch { /* One unreadable event must not stop the others. */ }
    });
  }
}

export function start() {
  connect();
  askPhase();
  setInterval(() => {
    if (document.hidden) return;
    const isLive = link.mode === 'live';
    if (link.mode !== 'lost' && link.mode !== 'locked') refreshAll(r => !r.isBusy && !isFirm(r) && performance.now() - r.at >= (r.isOften && isLive ? OFTEN_MS : isLive || r.isSlow || r.data?.total > PAGE ? SLOW_MS : POLL_MS));
    clocks.forEach(f => f());
  }, 1_000);
  setInterval(() => { if (link.mode !== 'lost' && !document.hidden) askPhase(); }, 10_000);
  addEventListener('visibilitychange', () => { if (!document.hidden) refreshAll(() => true); });
}
