// Two periods of the history side by side. They stand in the address, so that a comparison can be sent to others.
import * as w from './words.js';
import { Scroll, html, setQuery } from './parts.js';

const HOUR_S = 3_600, text = s => new Date(s * 1_000).toISOString().slice(0, 13) + ':00';
const seconds = at => Date.parse(`${at}Z`) / 1_000;
let isShift = false;
addEventListener('pointerdown', e => { isShift = e.shiftKey; }, true);

/** The periods of the address, `a=FROM/TO` and `b`: seconds, at full hours. */
export function chosen(query) {
  const of = name => {
    const [from, to] = (query.get(name) ?? '').split('/').map(seconds);
    return from < to ? [from, to] : null;
  };
  return { a: of('a'), b: of('b') };
}
/** A span of a chart becomes period A, with Shift B: whole hours, of which a point is the end. */
export function select(from, to) {
  const a = Math.floor(from / HOUR_S) * HOUR_S, b = Math.max(a + HOUR_S, Math.ceil(to / HOUR_S) * HOUR_S);
  put(isShift ? 'b' : 'a', [a, b]);
}
const put = (name, span) => setQuery({ [name]: span && span.map(text).join('/') });

const total = (list, of) => list.reduce((sum, x) => sum + of(x), 0);
const share = p => p.good / (p.good + p.bad);
/** Sums of the published hours, and what was there at the time. */
function period([from, to], { items, s, alerts, cohorts }) {
  const at = x => Date.parse(x) / 1_000, inside = items.filter(i => at(i.at) > from && at(i.at) <= to), touches = (start, end) => at(start) < to && (end === null || at(end) >= from);
  const good = total(inside, i => i.good), bad = total(inside, i => i.bad), all = good + bad;
  const hours = inside.filter(i => i.good + i.bad > 0).sort((x, y) => share(x) - share(y));
  const budgets = [items.filter(i => at(i.at) <= from).at(-1), inside.at(-1)].map(i => i?.budget_remaining ?? null);
  return {
    hours: inside.length, good, bad, sli: all > 0 ? good / all : null, burn: all > 0 && s.objective < 1 ? bad / all / (1 - s.objective) : null, worst: hours[0] ?? null,
    budget: budgets.includes(null) ? null : budgets[1] - budgets[0],
    below: inside.map(i => i.users_below).filter(n => n !== null).reduce((a, b) => Math.max(a, b), -1),
    alerts: alerts.filter(a => touches(a.started_at, a.ended_at)), cohorts: cohorts.filter(c => touches(c.started_at, c.state === 'closed' ? c.at : null)),
  };
}

const named = (list, of, none) => list.length === 0 ? html`<span class="quiet">${none}</span>` : html`<ul>${list.slice(0, 8).map(x => html`<li>${of(x)}</li>`)}${list.length > 8 && html`<li class="quiet">and ${list.length - 8} more</li>`}</ul>`;
const ROWS = [
  ['Hours with a record', p => w.count(p.hours)],
  ['Good', p => w.short(p.good)],
  ['Bad', p => w.short(p.bad)],
  ['SLI', p => w.pct(p.sli)],
  ['Burn rate', p => w.burn(p.burn)],
  ['Budget left changed by', p => p.budget === null ? w.NONE : `${p.budget > 0 ? '+' : ''}${w.pct(p.budget)}`],
  ['Worst hour', p => p.worst ? `${w.pct(share(p.worst))}, until ${w.time(p.worst.at)}` : w.NONE],
  ['Most users below the objective', p => p.below < 0 ? w.NONE : w.count(p.below)],
  ['Alerts', p => named(p.alerts, a => `${a.severity} from ${w.time(a.started_at)}${a.ended_at ? ` to ${w.time(a.ended_at)}` : ', which goes on'}`, 'none')],
  ['Cohorts', p => named(p.cohorts, c => `${c.cohort.length ? w.pairs(c.cohort) : 'no attribute'} (${c.kind})`, 'none')],
];

/** A form for those without a pointer, and the table. */
export function Periods({ items, s, alerts, cohorts, query }) {
  const spans = chosen(query), names = ['a', 'b'].filter(name => spans[name]);
  const change = e => {
    const form = new FormData(e.currentTarget), of = name => ['from', 'to'].map(end => seconds(form.get(`${name}-${end}`))), round = t => Math.round(t / HOUR_S) * HOUR_S;
    e.preventDefault();
    for (const name of ['a', 'b']) {
      const [from, to] = of(name).map(round);
      put(name, from < to ? [from, to] : null);
    }
  };
  const field = (name, end, i) => html`<label>${name.toUpperCase()} ${end}<input type="datetime-local" step="3600" name=${`${name}-${end}`} min=${items[0].at.slice(0, 16)} max=${items.at(-1).at.slice(0, 16)} defaultValue=${spans[name] ? text(spans[name][i]) : ''} key=${`${spans[name]}`} /></label>`;
  const periods = names.map(name => period(spans[name], { items, s, alerts, cohorts }));
  return html`<details class="more periods" open=${names.length > 0}><summary>Compare two periods</summary>
    <form class="filters" onSubmit=${change}>${field('a', 'from', 0)}${field('a', 'to', 1)}${field('b', 'from', 0)}${field('b', 'to', 1)}<button type="submit">Compare</button>${names.length > 0 && html`<button type="button" onClick=${() => setQuery({ a: null, b: null })}>Clear</button>`}</form>
    ${names.length > 0 && html`<${Scroll} label="Periods side by side"><table class="tight"><thead><tr><th scope="col"><span class="hide">Figure</span></th>${names.map(name => html`<th scope="col"><span class=${`legend span-${name}`}><span class=${`span-${name}`}>${name.toUpperCase()}</span></span> ${spans[name].map(t => { const at = text(t); return `${w.day(at)}, ${at.slice(11, 16)}`; }).join(' to ')}</th>`)}</tr></thead>
      <tbody>${ROWS.map(([name, of]) => html`<tr><th scope="row">${name}</th>${periods.map(p => html`<td>${of(p)}</td>`)}</tr>`)}</tbody></table><//>
      <p class="quiet">Good and bad are sums of the hourly records, SLI and burn rate follow from them; times are UTC. Alerts and cohorts are those that this instance remembers and that the period touches.${names.length < 2 ? ' Drag with Shift for a second period.' : ''}</p>`}</details>`;
}
