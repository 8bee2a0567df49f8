// Parts that all views share: numbers that say how they were computed, states, lists, sections.
import { h } from './vendor/preact.mjs';
import htm from './vendor/htm.mjs';
import { useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } from './vendor/hooks.mjs';
import * as w from './words.js';

export const html = htm.bind(h);
const assets = document.querySelector('meta[name=assets]').content;

export const Icon = ({ name }) => html`<svg class="icon" aria-hidden="true"><use href=${`${assets}/icons.svg#${name}`} /></svg>`;

// --- addresses: the part behind # holds the whole view ----------------------------------------

export function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').map(decodeURIComponent), query: new URLSearchParams(query) };
}
export function href(path, query = {}) {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v));
  return '#/' + path.map(encodeURIComponent).join('/') + (q.size ? '?' + q : '');
}
export function keyHref(r) {
  if (r.scope === 'tenant') return href(['slo', r.slo], { tenant: r.tenant });
  return href(['slo', r.slo], r.scope === 'group' ? { group: JSON.stringify(r.group) } : {});
}
/** Changes the query of the view in place: filters are no steps of the history. */
export function setQuery(changes) {
  const { path, query } = route();
  for (const [k, v] of Object.entries(changes)) v ? query.set(k, v) : query.delete(k);
  history.replaceState(null, '', href(path, Object.fromEntries(query)));
  dispatchEvent(new Event('hashchange'));
}

// --- how a number was computed ----------------------------------------------------------------

let openHow = null;
/** A number as a button: its panel tells formula, window, T, definition, and what does not count. */
export function How({ of, class: name = '', label, children }) {
  return html`<button type="button" class=${`how ${name}`} aria-haspopup="dialog" aria-label=${label}
    title="How is this computed?" onClick=${e => openHow(e.currentTarget, of)}>${children}</button>`;
}
export function HowPanel() {
  const [shown, show] = useState(null), panel = useRef(null);
  openHow = (button, of) => show({ button, ...of() });
  useLayoutEffect(() => {
    const el = panel.current;
    if (!shown) return;
    el.showPopover();
    const b = shown.button.getBoundingClientRect(), own = el.getBoundingClientRect();
    const left = Math.max(8, Math.min(b.left, innerWidth - own.width - 8));
    const isBelow = b.bottom + own.height + 8 < innerHeight || b.top < own.height + 12;
    el.style.left = left + 'px';
    el.style.top = Math.max(8, isBelow ? Math.min(b.bottom + 6, innerHeight - own.height - 8) : b.top - own.height - 6) + 'px';
    el.focus();
  }, [shown]);
  const closed = e => {
    if (e.newState !== 'closed' || !shown) return;
    if (panel.current.contains(document.activeElement) || document.activeElement === document.body) shown.button.focus();
    show(null);
  };
  return html`<div id="how" popover="auto" role="dialog" aria-label="How this is computed" tabindex="-1" ref=${panel} onToggle=${closed}>
    ${shown && html`<h3>${shown.title}</h3><p>${shown.text}</p>${shown.formula && html`<p class="formula">${shown.formula}</p>`}
    <dl>${shown.rows.filter(r => r && r[1] !== undefined && r[1] !== null && r[1] !== '').map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>`}
  </div>`;
}
/** What all explanations of a status say at their end. */
export function facts(s, window = null) {
  const c = s.counts ?? {};
  const left = [
    'what the total filter does not select',
    c.unclassified && `${w.count(c.unclassified)} unclassified (a filter reads a field they lack)`,
    c.maintenance && `${w.count(c.maintenance)} in maintenance`,
  ].filter(Boolean).join('; ');
  return [
    window && ['Window', `${window.window}: ${w.time(window.start)} to ${w.time(s.at)} UTC`],
    window && window.coverage < 1 && ['Covered by data', w.pct(window.coverage)],
    ['As of (T)', s.at.slice(0, 19).replace('T', ' ') + ' UTC'],
    ['Not counted', left],
    ['Late, counted', c.late ? w.count(c.late) + ' events' : null],
    ['Unit', s.budgeting_method === 'Occurrences' ? (s.journey ? 'attempts, by weight' : 'events, by weight') : `slices (${s.budgeting_method})`],
    ['Definition', s.definition_hash.slice(0, 12)],
  ];
}
export const burnHow = (s, window) => ({
  title: `Burn rate over ${window.window}`,
  text: 'How fast the error budget is spent: 1× spends exactly the budget of the period, 10× spends it in a tenth of the time.',
  formula: `(${w.count(window.bad)} bad ÷ ${w.count(window.good + window.bad)} events) ÷ (1 − ${w.objective(s.objective)}) = ${w.burn(window.burn)}`,
  rows: facts(s, window),
});
export const sliHow = (s, window) => ({
  title: `SLI over ${window.window}`,
  text: 'The share of good events. An empty window has no SLI: neither 100 % nor 0 %.',
  formula: `${w.count(window.good)} good ÷ (${w.count(window.good)} good + ${w.count(window.bad)} bad) = ${w.pct(window.sli)}`,
  rows: [['Objective', w.objective(s.objective)], ...facts(s, window)],
});
export const budgetHow = s => ({
  title: 'Error budget left',
  text: `The budget is what may fail: ${w.pct(1 - s.objective)} of the events of the period.`,
  formula: s.period ? `1 − burn × coverage × elapsed = ${w.pct(s.budget_remaining)}` : `1 − burn over ${s.compliance_window} = ${w.pct(s.budget_remaining)}`,
  rows: [
    ['May fail', w.count(s.budget?.allowed_bad) + ' events'], ['Failed', w.count(s.budget?.spent_bad)],
    ['Left', s.budget?.remaining_minutes === null ? null : `${w.span(s.budget.remaining_minutes * 60_000)} of a total outage`],
    ['Spent of a full period', w.pct(s.budget_spent_of_period)], ...facts(s, w.compliance(s)),
  ],
});

// --- small parts ------------------------------------------------------------------------------

export const Tag = ({ tone = 'none', icon, children, title }) => html`<span class=${`tag ${tone}`} title=${title}>${icon && html`<${Icon} name=${icon} />`}${children}</span>`;
const ICONS = { bad: 'bad', warn: 'warn', ok: 'ok', none: 'none' };
export function State({ of }) {
  const s = w.STATES[of.state] ?? { word: of.state, tone: 'none' };
  return html`<${Tag} tone=${s.tone} icon=${ICONS[s.tone]} title=${s.text}>${s.word}<//>`;
}
export function Severity({ of }) {
  const [word, tone] = w.SEVERITIES[of] ?? [of, 'none'];
  return html`<${Tag} tone=${tone} icon=${of === 'page' ? 'page' : of === 'ticket' ? 'ticket' : 'none'}>${word}<//>`;
}
/** What is left of a budget; overspent ones are full in red. */
export function Left({ s }) {
  // Early in a period a burn can exceed the share that was seen so far without having spent the budget: no red then.
  const left = s.budget_remaining, tone = left === null ? 'none' : left <= 0 ? (s.state === 'breached' ? 'bad' : 'warn') : left <= 0.25 ? 'warn' : 'ok';
  const width = left === null ? 0 : left <= 0 ? 100 : Math.min(100, left * 100);
  return html`<svg class=${`left ${tone}`} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="6" /><rect width=${width} height="6" /></svg>`;
}
export const burnTone = b => b === null || b === undefined ? 'none' : b >= 10 ? 'bad' : b > 1 ? 'warn' : '';
/** Hourly burn of the last day, as bars; the line is 1×. `slis`: one an hour, null without events. */
export function Spark({ slis, objective }) {
  if (!slis?.some(x => x !== null)) return html`<span class="quiet" title="No hourly history yet">${w.NONE}</span>`;
  const burns = slis.slice(-24).map(x => x === null ? null : (1 - x) / (1 - objective));
  const y = b => 22 - Math.min(20, 20 * Math.log2(1 + b) / Math.log2(1 + 20)), from = 24 - burns.length;
  return html`<svg class="spark" viewBox="0 0 96 24" role="img" aria-label=${`Hourly burn of the last day, highest ${w.burn(Math.max(...burns))}`}>
    <path class="line" d=${`M0 ${y(1)}H96`} />
    ${burns.map((b, i) => b !== null && html`<rect class=${burnTone(b) || 'calm'} x=${(from + i) * 4 + 0.5} y=${Math.min(y(b), 21)} width="3" height=${Math.max(1, 22 - y(b))} />`)}
  </svg>`;
}
export const Box = ({ title, children, tone = '' }) => html`<div class=${`box ${tone}`}><strong>${title}</strong>${children && html`<p>${children}</p>`}</div>`;

/** One part that cannot be shown never hides another. */
export function Safe({ what, wrap = x => x, children }) {
  const [error, again] = useErrorBoundary(e => console.warn(`${what} cannot be shown`, e));
  if (!error) return children;
  return wrap(html`<${Box} tone="bad" title=${`${what} cannot be shown`}>
    The record is not what this page expects (${String(error.message).slice(0, 160)}). The rest of the page is not affected; the same record is in the API. <button type="button" class="plain" onClick=${again}>Try again</button><//>`);
}
export const Section = ({ title, id, aside, children, what = title }) => html`<section aria-labelledby=${id} class="card"><div class="head"><h2 id=${id}>${title}</h2>${aside}</div><${Safe} what=${what}>${children}<//></section>`;

/** Empty, loading, missing and failing answers, each with what to do; else the children. */
export function Loaded({ of, what, path, children }) {
  if (of.data) return children;
  if (of.isMissing) return html`<${Box} title=${`${what}: not served here`}>This instance has no <code>${path}</code>. Newer builds have it; <code>tailburn --version</code> tells which one runs.<//>`;
  if (of.error) return html`<${Box} tone="warn" title=${`${what}: no answer`}>${of.error.message}. It is asked for again by itself.<//>`;
  return html`<p class="quiet loading" role="status">Loading ${what.toLowerCase()} …</p>`;
}

/** What is wider than the screen scrolls, also by keyboard. */
export const Scroll = ({ label, class: name = '', children }) => html`<div class=${`scroll ${name}`} tabindex="0" role="group" aria-label=${label}>${children}</div>`;

/** A table of any length: only the rows in sight are in the document. `rows` are drawn by `row(item, index)`. */
export function LongTable({ rows, row, head, height, label, columns }) {
  const body = useRef(null), [range, setRange] = useState([0, 40]);
  const see = useRef(null);
  useEffect(() => { see.current?.(); }); // What stands above may have grown.
  useEffect(() => {
    see.current = () => {
      const el = body.current;
      if (!el) return;
      const top = -el.getBoundingClientRect().top, h = height();
      const from = Math.max(0, Math.floor(top / h) - 8), to = Math.ceil((top + innerHeight) / h) + 8;
      setRange(old => old[0] === from && old[1] === to ? old : [from, to]);
    };
    const f = () => see.current();
    f();
    addEventListener('scroll', f, { passive: true });
    addEventListener('resize', f);
    return () => { removeEventListener('scroll', f); removeEventListener('resize', f); };
  }, []);
  const to = Math.min(rows.length, Math.max(range[1], 1)), from = Math.min(range[0], Math.max(0, to - 1));
  return html`<table class="long" aria-label=${label} aria-rowcount=${rows.length + 1}>
    <thead><tr aria-rowindex="1">${head}</tr></thead>
    <tbody ref=${body}>
      ${from > 0 && html`<tr class="gap" aria-hidden="true"><td colspan=${columns} style=${{ height: from * height() + 'px' }}></td></tr>`}
      ${rows.slice(from, to).map((r, i) => row(r, from + i))}
      ${to < rows.length && html`<tr class="gap" aria-hidden="true"><td colspan=${columns} style=${{ height: (rows.length - to) * height() + 'px' }}></td></tr>`}
    </tbody></table>`;
}
