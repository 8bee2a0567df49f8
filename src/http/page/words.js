// Figures as text, and what they mean in words. Formulas are those of the contract.
import { now, tenantOf } from './data.js';

const NB = '\u202f'; // between number and unit
export const NONE = '–';
const fixed = (x, digits) => x.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace('-', '−');

/** A share in percent; never rounded up to 100 %, because 99.9996 % is not all. */
export function pct(x) {
  if (x === null || x === undefined) return NONE;
  const p = x * 100, a = Math.abs(p);
  if (a >= 100 || a === 0) return fixed(p, a > 100 && a < 1000 ? 1 : 0) + NB + '%';
  const digits = p >= 99 ? 3 : a < 0.1 ? 3 : a < 1 ? 2 : 1, scale = 10 ** digits;
  const cut = Math.floor(p * scale + 1e-6) / scale;
  return (cut === 0 ? '< 0.001' : fixed(cut, digits)) + NB + '%';
}
/** An objective, with as many digits as it has. */
export const objective = x => `${Math.round(x * 1e8) / 1e6}${NB}%`;
export function burn(x) {
  if (x === null || x === undefined) return NONE;
  if (x > 0 && x < 0.005) return '< 0.01×';
  return fixed(x, x >= 10 || x === 0 ? 0 : x >= 1 ? 1 : 2) + '×';
}
export const count = n => n === null || n === undefined ? NONE : fixed(Math.round(n), 0);
export function short(n) {
  if (n === null || n === undefined) return NONE;
  const a = Math.abs(n);
  if (a < 10_000) return fixed(n, a < 10 && n % 1 ? 1 : 0);
  return a < 1e6 ? fixed(n / 1e3, 0) + NB + 'k' : a < 1e9 ? fixed(n / 1e6, a < 1e7 ? 1 : 0) + NB + 'M' : fixed(n / 1e9, 1) + NB + 'G';
}
export const ms = x => x === null || x === undefined ? NONE : x >= 10_000 ? fixed(x / 1000, 1) + NB + 's' : fixed(x, x < 10 ? 1 : 0) + NB + 'ms';
/** One failure in so many. */
export const oneIn = ratio => ratio < 1e-6 ? 'hardly a request' : ratio > 0.5 ? `${pct(ratio)} of requests` : `1 in ${count(1 / ratio)} requests`;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
export const day = at => `${+at.slice(8, 10)} ${MONTHS[at.slice(5, 7) - 1]}${at.slice(0, 4) === now().slice(0, 4) ? '' : ' ' + at.slice(0, 4)}`;
/** The clock alone on the day of T, with the date else. UTC, like every time of a record. */
export function time(at, isExact = false) {
  if (!at) return NONE;
  const clock = at.slice(11, isExact ? 19 : 16);
  return at.slice(0, 10) === now().slice(0, 10) ? clock : `${day(at)}, ${clock}`;
}
export function span(ms) {
  const m = Math.round(ms / 60_000);
  if (ms < 60_000) return `${Math.max(0, Math.round(ms / 1000))}${NB}s`;
  if (m < 120) return `${m}${NB}min`;
  if (m < 48 * 60) return `${Math.floor(m / 60)}${NB}h` + (m % 60 && m < 600 ? ` ${m % 60}${NB}min` : '');
  return `${fixed(m / 1440, m < 14_400 ? 1 : 0)}${NB}d`;
}
/** How long before T. */
export const ago = at => at ? span(Math.max(0, Date.parse(now()) - Date.parse(at))) : NONE;
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;
export const pairs = list => list.map(a => `${a.attribute} = ${a.value}`).join(', ');
export const cohortName = c => c.cohort?.length ? pairs(c.cohort) : 'no attribute explains it';
export const tenantName = id => tenantOf(id).display_name ?? id;
export function scopeName(r) {
  if (r.scope === 'tenant') return tenantName(r.tenant);
  if (r.scope === 'group') return Object.entries(r.group).map(([k, v]) => `${k} = ${v}`).join(', ');
  return 'all tenants';
}

// --- a status in words ------------------------------------------------------------------------

export const windowOf = (status, name) => status.windows.find(w => w.window === name);
export const compliance = status => windowOf(status, status.compliance_window) ?? status.windows.at(-1);
const rate = (status, name) => windowOf(status, name)?.burn ?? null;
/** What people call it: the objective's own name where a document has several. */
export function title(r) {
  const own = r.slo.includes(':') && r.slo.slice(r.slo.indexOf(':') + 1);
  return r.display_name ? r.display_name + (own ? ` (${own})` : '') : r.slo;
}
/** A summary with its times as everywhere on the page. */
export const said = text => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z/g, at => time(at));

const VALUES = [{ word: 'met', tone: 'ok', text: 'The value meets its target.' }, { word: 'not met', tone: 'bad', text: 'The value does not meet its target.' }];
export const mood = s => s.gauge && s.gauge.is_met !== null && s.state !== 'no_data' ? VALUES[s.gauge.is_met ? 0 : 1] : moodOf(s.state, rate(s, '5m'), rate(s, '1h'), rate(s, '6h'), s.alerts?.some(a => a.state === 'firing' && a.severity === 'page'));
/** word: burning, recovering, steady, exhausted, no data; tone: bad, warn, ok, none. */
export function moodOf(state, now, hour, half, fast) {
  if (state === 'no_data') return { word: 'no data', tone: 'none', text: 'No event counted lately: neither good nor bad.' };
  const isBurning = now > 1 && hour > 1, was = Math.max(hour ?? 0, half ?? 0) > 1;
  if (state === 'breached') {
    return { word: 'exhausted', tone: 'bad', text: isBurning ? `The budget is spent, and still burns at ${burn(hour)}.` : 'The budget of the period is spent.' };
  }
  if (isBurning) {
    return { word: 'burning', tone: fast ? 'bad' : 'warn', text: `Over the last hour the budget burnt ${burn(hour)} as fast as allowed.` };
  }
  if (was && now !== null && now <= 1) return { word: 'recovering', tone: 'warn', text: 'It burnt too fast; the last 5 minutes are within the budget.' };
  if (was) return { word: 'burning', tone: 'warn', text: 'One of the last hours burnt faster than allowed.' };
  return { word: 'steady', tone: 'ok', text: 'The budget burns no faster than allowed.' };
}
export const STATES = {
  breached: { word: 'breached', tone: 'bad', text: 'The whole budget of the period is spent.' },
  at_risk: { word: 'at risk', tone: 'warn', text: 'An alert fires, or 75 % of the budget of the period is spent.' },
  ok: { word: 'ok', tone: 'ok', text: 'Within its budget, and no alert fires.' },
  no_data: { word: 'no data', tone: 'none', text: 'No event for longer than allowed. That is neither good nor bad.' },
};
export const FLAGS = {
  warming_up: 'warming up: the period is not covered by data yet',
  degraded_data: 'degraded data: over 1 % of the last hour could not be classified',
  incomplete: 'incomplete: a partition of the input was passed over',
  tenants_overflow: 'more tenants than may have figures of their own',
  groups_overflow: 'more groups than are remembered',
  never_bad: 'never bad: can this indicator fail at all?',
};
export const VERDICTS = {
  random: ['chance', 'ok', 'Failures fall on users as chance would have it.'],
  single_user: ['one user', 'none', 'One user alone stands out; without that user it looks like chance.'],
  systemic: ['a cohort suffers', 'warn', 'Failures concentrate on some users far beyond chance, and a cohort explains them.'],
  unexplained: ['unexplained tail', 'warn', 'Failures concentrate on some users far beyond chance, and no recorded attribute explains it.'],
  insufficient: ['too little to say', 'none', 'Under 100 users or 10 failures: too little to tell chance from more.'],
};
export const HELD = {
  min_events: 'fewer events than its minimum',
  low_traffic: 'so few events that chance alone could do this',
  not_warm: 'its windows are not filled yet',
  single_user: 'one user alone causes it',
};
export const SEVERITIES = { page: ['page', 'bad'], ticket: ['ticket', 'warn'], info: ['info', 'none'], off: ['off', 'none'] };
export const ENDED = {
  recovered: 'recovered', raised: 'a rule of it went on to page', no_data: 'no data for a day',
  definition_changed: 'the definition changed', removed: 'the SLO was removed',
};
const RULES = {
  budget: 'enough bad events have added up to spend 2 % of the period’s budget (or 0.3 % minute by minute)',
  'tail-1h': 'the aggregate is fine over an hour while the worst 1 % of users are not',
  'tail-1d': 'the aggregate is fine while the worst 1 % of users are not, over a day',
  exhaustion: 'the forecast expects the budget to run out',
  sla: 'the agreement is more likely than not to be missed',
};
export function ruleText(rule, factor) {
  if (RULES[rule]) return RULES[rule];
  const [long, brief] = rule.split('/');
  const over = brief ? `over ${long} and over ${brief}` : `over ${long}`;
  return factor ? `burn above ${burn(factor)} ${over}` : `burns too fast ${over}`;
}
