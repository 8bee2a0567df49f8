// All SLOs at a glance: what fires, then every key, the smallest remaining budget first.
import { hasToken, keyOf, store, useApi, useStore } from './data.js';
import { useMemo } from './vendor/hooks.mjs';
import * as w from './words.js';
import { Box, How, Icon, Left, Loaded, LongTable, Safe, Severity, Spark, State, Tag, burnTone, facts, html, keyHref, setQuery } from './parts.js';

export const WINDOWS = ['5m', '1h', '6h', '1d', '3d'];
const isNarrow = () => innerWidth < 760;
const rowHeight = () => (isNarrow() ? 64 : 54);
const ORDER = { page: 0, ticket: 1, info: 2, off: 3 };

/** What every view keeps up to date. */
export function useBase() {
  useStore();
  useApi('/api/v1/alerts?state=firing', { shelf: 'alerts', covers: a => a.state !== 'resolved', isOften: true });
  useApi('/api/v1/cohorts?state=open', { shelf: 'cohorts', covers: c => c.state !== 'closed', isOften: true });
  return useApi('/api/v1/status?scope=aggregate', { shelf: 'status', covers: s => s.scope === 'aggregate' });
}
const isWhole = r => (r.scope === 'aggregate' ? 0 : 1);
export const firing = () => [...store.alerts.values()].filter(a => !a.unreadable && a.state !== 'resolved')
  .sort((a, b) => ORDER[a.severity] - ORDER[b.severity] || isWhole(a) - isWhole(b) || (a.started_at < b.started_at ? 1 : -1));
const openCohorts = () => [...store.cohorts.values()].filter(c => !c.unreadable && c.state !== 'closed').sort((a, b) => (b.budget_burnt ?? 0) - (a.budget_burnt ?? 0));

/** One shape for a status and for a row of /overview, which knows the last day, too. */
function rowOf({ key, s, c }) {
  const spark = c?.spark;
  if (s && !(c && c.at > s.at)) {
    const all = w.compliance(s);
    return { key, r: s, s, spark, coverage: all?.coverage ?? 1, sli: all?.sli, burns: WINDOWS.map(x => w.windowOf(s, x)?.burn), whole: all?.burn, period: s.compliance_window, users: s.users?.[0], mood: w.mood(s) };
  }
  const burns = WINDOWS.map(x => c.burn?.[x] ?? null);
  return { key, r: c, s, spark, coverage: 1, sli: c.sli, burns, whole: c.burn?.period, period: c.period, users: s?.users?.[0], mood: w.moodOf(c.state, ...burns, c.alerts?.page > 0) };
}
/** The rows of a scope: from /overview where it is served, and from the statuses at hand. */
export function useRows(scope) {
  const compact = useApi(`/api/v1/overview?scope=${scope}`, { isSlow: scope === 'aggregate' }), isAll = scope === 'aggregate' || compact.isMissing;
  const full = useApi(isAll ? `/api/v1/status?scope=${scope}` : null, { shelf: 'status', covers: s => s.scope === scope });
  const version = useStore(), rows = useMemo(() => {
    const found = new Map();
    for (const c of compact.data?.items ?? []) found.set(c.key, { key: c.key, s: null, c, r: c });
    for (const [key, s] of store.status) {
      if (s.unreadable) found.set(key, { key, unreadable: true });
      else if (s.scope === scope) { const c = found.get(key)?.c; found.set(key, { key, s, c, r: c?.at > s.at ? c : s }); }
    }
    return [...found.values()];
  }, [scope, version, compact.data, full.data]);
  return { of: isAll ? full : compact, rows };
}

export function Overview({ query }) {
  const scope = query.get('scope') ?? 'aggregate', { of, rows: all } = useRows(scope), rows = useMemo(() => pick(all, query), [all, String(query)]);
  return html`
    <${Safe} what="What fires now"><${Now} /><//>
    <section aria-labelledby="slos">
      <div class="head"><h2 id="slos">${scope === 'tenant' ? 'SLOs of each tenant' : scope === 'group' ? 'SLOs of each group' : 'SLOs'}</h2>
        <span class="quiet" role="status">${rows.length === all.length ? w.count(rows.length) : `${w.count(rows.length)} of ${w.count(all.length)}`}, least budget left first</span></div>
      <${Filters} all=${all} query=${query} />
      <${Loaded} of=${of} what="SLOs" path="/api/v1/status">
        ${of.data?.not_shown > 0 && html`<${Box} tone="warn" title=${`${w.count(of.data.not_shown)} more keys are not shown`}>This instance holds no more. The output topics have all of them.<//>`}
        ${of.data?.isCut && html`<${Box} title=${`The first ${w.count(of.data.items.length)} of ${w.count(of.data.total)} keys`}>They have the least budget left. One SLO or one tenant on its own shows all of its keys.<//>`}
        ${rows.length > 0 ? html`<${Rows} rows=${rows} />` : html`<${Nothing} isFiltered=${all.length > 0} scope=${scope} />`}
      <//>
    </section>`;
}

function Nothing({ isFiltered, scope }) {
  if (isFiltered) {
    return html`<${Box} title="No SLO matches">Nothing fits all of these filters. <button type="button" class="plain" onClick=${() => setQuery({ q: '', state: '', service: '', label: '', tenant: '' })}>Clear the filters</button><//>`;
  }
  if (scope === 'group') return html`<${Box} title="No groups">An SLO has them where its annotation <code>tailburn.dev/group-by</code> names attributes.<//>`;
  if (hasToken() && scope === 'aggregate') return html`<${Box} title="Nothing for this token here">A tenant’s token shows that tenant alone: <a href="#/tenants">its figures</a>.<//>`;
  return html`<${Box} title="No SLO has a status yet">The first one appears once events arrive: tailburn reads its input topics and closes boundaries of 10 s. If it stays empty, look at the <a href="#/processor">processor</a>, and check one record with <code>tailburn check --input FILE</code>.<//>`;
}

// --- what fires -------------------------------------------------------------------------------

function headline(alerts, tails, keys) {
  const n = s => alerts.filter(a => a.severity === s).length;
  const parts = [n('page') && w.plural(n('page'), 'page'), n('ticket') && w.plural(n('ticket'), 'ticket')].filter(Boolean);
  if (parts.length) return `${parts.join(' and ')} ${n('page') + n('ticket') === 1 ? 'is' : 'are'} firing`;
  if (tails.length) return `No page, no ticket; ${w.plural(tails.length, 'cohort')} served badly`;
  return keys ? 'All quiet' : 'tailburn';
}
function Now() {
  const alerts = firing(), all = alerts.filter(a => a.severity === 'page' || a.severity === 'ticket');
  // What a tenant or a group repeats of all tenants together stands in that card.
  const repeats = all.filter(a => isWhole(a) && all.some(b => !isWhole(b) && b.slo === a.slo && ORDER[b.severity] <= ORDER[a.severity])), loud = all.filter(a => !repeats.includes(a));
  const own = [...store.status.values()].filter(s => s.scope === 'aggregate'), n = state => own.filter(s => s.state === state).length;
  // A cohort that an alert names already, or that repeats one of all tenants, is not told twice.
  const told = new Set(loud.map(a => a.cohort?.id)), tails = openCohorts().filter(c => !told.has(c.id) && !loud.some(a => a.id === c.alert_id));
  const most = isNarrow() ? 3 : 6, cards = [...loud.map(a => [a, AlertCard]), ...tails.filter(c => isWhole(c) === 0).map(c => [c, TailCard])].slice(0, most);
  const shown = new Set(cards.map(c => c[0])), rest = [...alerts, ...tails.filter(c => !c.same_as)].filter(x => !shown.has(x));
  return html`<section class="now" aria-labelledby="now">
    <h1 id="now" tabindex="-1">${headline(loud, tails, own.length)}</h1>
    <p class="sum">${Object.entries(w.STATES).filter(([k]) => n(k)).map(([k, s]) => html`<span><b class=${s.tone}>${n(k)}</b> ${s.word}</span>`)}
      ${own.some(s => s.flags?.includes('incomplete')) && html`<span><b class="warn">incomplete</b> input: <a href="#/processor">why</a></span>`}</p>
    ${cards.length > 0 && html`<ul class="cards">${cards.map(([x, Card]) => html`<li key=${x.id}><${Safe} what="A record"><${Card} x=${x} also=${repeats.filter(a => a.slo === x.slo)} /><//></li>`)}</ul>`}
    ${rest.length > 0 && html`<details class="more"><summary>${w.count(rest.length)} more, of single tenants and groups or for information only</summary>
      <ul class="lines">${rest.slice(0, 100).map(x => html`<li key=${x.id}>${x.severity ? html`<${Severity} of=${x.severity} />` : html`<${Tag} icon="users">cohort<//>`}<a href=${keyHref(x)}>${nameOf(x)}</a><span>${w.scopeName(x)}</span>${x.cohort?.length || x.cohort?.cohort?.length ? html`<span class="quiet">${w.pairs(x.cohort.cohort ?? x.cohort)}</span>` : ''}<span class="quiet">since ${w.time(x.started_at)}</span></li>`)}</ul></details>`}
  </section>`;
}
/** Cohorts do not carry their SLO's name for people. */
const nameOf = r => (r.display_name ? w.title(r) : w.title({ ...r, display_name: store.status.get(keyOf({ slo: r.slo, scope: 'aggregate' }))?.display_name }));
function AlertCard({ x: a, also }) {
  const rule = a.rules[0], u = store.status.get(keyOf(a))?.users?.find(u => u.window === rule?.long_window), isTail = rule?.rule.startsWith('tail-');
  return html`<a class=${`event ${w.SEVERITIES[a.severity]?.[1]}`} href=${keyHref(a)}>
    <span class="top"><${Severity} of=${a.severity} /><span class="quiet">since ${w.time(a.started_at)} · ${w.ago(a.started_at)}</span>${a.data !== 'complete' && html`<${Tag} tone="warn">${a.data} data<//>`}</span>
    <strong>${w.title(a)}${a.scope !== 'aggregate' && html`<span class="of"> · ${w.scopeName(a)}</span>`}</strong>
    <span class="who"><${Icon} name="users" /> ${a.cohort?.cohort?.length ? w.pairs(a.cohort.cohort) : a.affected_users === null ? 'events carry no user' : 'no attribute stands out'}</span>
    <span class="line">${a.affected_users !== null && html`<span><b>${w.count(a.affected_users)}</b> of ${w.plural(a.users_active, 'user')} affected</span>`}
      ${isTail ? u?.worst_1pct_error_mean_estimate != null && html`<span>worst 1 % see <b>${w.pct(u.worst_1pct_error_mean_estimate)}</b> fail</span>` : rule?.burn_long != null && html`<span>burn <b>${w.burn(rule.burn_long)}</b> over ${rule.long_window}</span>`}
      <span><b>${w.pct(a.budget_remaining)}</b> budget left</span></span>
    ${!isWhole(a) && also.length > 0 && html`<span class="quiet">also ${also.slice(0, 4).map(w.scopeName).join(', ')}${also.length > 4 ? ` and ${also.length - 4} more` : ''}</span>`}
  </a>`;
}
function TailCard({ x: c }) {
  return html`<a class="event tail" href=${keyHref(c)}>
    <span class="top"><${Tag} tone="warn" icon="users">cohort<//><span class="quiet">since ${w.time(c.started_at)} · ${w.ago(c.started_at)}</span></span>
    <strong>${nameOf(c)}</strong><span class="who"><${Icon} name="users" /> ${c.cohort.length ? w.pairs(c.cohort) : 'the worst 1 % of users'}</span>
    <span class="line">${c.users_in_tail !== null && c.users !== null && html`<span><b>${w.count(c.users_in_tail)}</b> of its ${w.plural(c.users, 'user')} served badly</span>`}
      ${c.risk_ratio !== null && html`<span>failures <b>${w.burn(c.risk_ratio)}</b> as likely</span>`}${c.bad_share !== null && html`<span><b>${w.pct(c.bad_share)}</b> of all failures</span>`}</span>
  </a>`;
}

// --- filters ----------------------------------------------------------------------------------

const texts = new WeakMap();
function textOf(s) {
  let text = texts.get(s);
  if (!text) texts.set(s, text = [s.slo, s.display_name, s.service, s.tenant, ...Object.values(s.group), ...Object.entries(s.labels).flat(2)].join('\n').toLowerCase());
  return text;
}
function hasLabel(s, label) {
  const [k, v] = label.split('=');
  return [s.labels?.[k]].flat().some(x => x !== undefined && (v === undefined || String(x) === v));
}
const least = (a, b) => (a.r?.budget_remaining ?? 2) - (b.r?.budget_remaining ?? 2) || (a.key < b.key ? -1 : 1);
function pick(all, query) {
  const q = (query.get('q') ?? '').toLowerCase().split(/\s+/).filter(Boolean), of = k => query.get(k), states = of('state')?.split(',');
  return all.filter(({ r, unreadable }) => unreadable || ((!of('service') || r.service === of('service')) && (!of('tenant') || r.tenant === of('tenant'))
    && (!states || states.includes(r.state)) && (!of('label') || hasLabel(r, of('label'))) && q.every(word => textOf(r).includes(word)))).sort(least);
}
function Filters({ all, query }) {
  const own = useMemo(() => all.filter(x => !x.unreadable).map(x => x.r), [all]), values = f => [...new Set(own.flatMap(f))].sort().slice(0, 500);
  const set = name => e => setQuery({ [name]: e.currentTarget.value });
  const choice = (name, label, any, list) => list.length > 0 && html`<label>${label}<select value=${query.get(name) ?? ''} onChange=${set(name)}><option value="">${any}</option>${list.map(v => html`<option value=${v}>${v}</option>`)}</select></label>`;
  const chosen = query.get('state')?.split(',') ?? [];
  const flip = state => setQuery({ state: (chosen.includes(state) ? chosen.filter(s => s !== state) : [...chosen, state]).join(',') });
  return html`<form class="filters" role="search" onSubmit=${e => e.preventDefault()}>
    <label class="find"><span class="hide">Search SLOs</span><${Icon} name="search" /><input id="find" type="search" placeholder="Search   /" autocomplete="off" value=${query.get('q') ?? ''} onInput=${set('q')} /></label>
    <label>Figures of<select value=${query.get('scope') ?? ''} onChange=${e => setQuery({ scope: e.currentTarget.value, tenant: '' })}><option value="">all tenants together</option><option value="tenant">each tenant</option><option value="group">each group</option></select></label>
    ${choice('service', 'Service', 'any', values(s => [s.service]))}
    ${choice('label', 'Label', 'any', values(s => Object.entries(s.labels ?? {}).flatMap(([k, v]) => [v].flat().map(x => `${k}=${x}`))))}
    ${query.get('scope') === 'tenant' && choice('tenant', 'Tenant', 'any', values(s => [s.tenant]))}
    <fieldset><legend class="hide">State</legend>${Object.entries(w.STATES).map(([k, s]) => html`<button type="button" class="chip" aria-pressed=${chosen.includes(k)} onClick=${() => flip(k)}>${s.word} <b>${w.count(own.filter(x => x.state === k).length)}</b></button>`)}</fieldset>
  </form>`;
}

// --- rows -------------------------------------------------------------------------------------

const explain = {
  budget: () => ({ title: 'Error budget left', text: 'The share of the failures allowed in the period that has not happened yet. Below 0 the objective is missed.', formula: '1 − burn over the period', rows: [['Order', 'least left first'], ['One row', 'select it and press i']] }),
  sli: () => ({ title: 'SLI', text: 'The share of good events over the period of the SLO.', formula: 'good ÷ (good + bad)', rows: [['Not counted', 'excluded and unclassified events']] }),
  burn: () => ({ title: 'Burn rate', text: 'How fast the budget is spent: 1× is exactly what the objective allows. Amber: above 1×. Red: 10× and more.', formula: '(bad ÷ events) ÷ (1 − objective)', rows: [['Windows', 'side by side: short ones say what happens now, long ones what it cost']] }),
  users: () => ({ title: 'Users below the objective', text: 'Users whose own share of good events is below the objective, and how many chance alone would put there at the same rate of failures.', formula: null, rows: [['Window', 'the shortest user window of the SLO'], ['Counted', 'users with enough events (min-user-events)']] }),
  spark: () => ({ title: 'Burn of the last day', text: 'One bar an hour, from the hourly history. The line is 1×.', formula: null, rows: [] }),
};
const Th = ({ how, children, class: name }) => html`<th scope="col" class=${name}><${How} of=${explain[how]}>${children}<//></th>`;

function Rows({ rows }) {
  const head = html`<th scope="col" class="state">State</th><th scope="col">SLO</th><${Th} how="budget" class="budget">Budget left<//><${Th} how="sli" class="num wide">SLI<//>
    ${WINDOWS.map(x => html`<${Th} key=${x} how="burn" class=${`num burn ${x === '1h' ? '' : 'wide'}`}>${x === '5m' || x === '1h' ? html`<span class="unit">${x === '1h' ? html`<span class="thin">burn </span>` : 'burn '}</span>` : ''}${x}<//>`)}<${Th} how="burn" class="num burn wide">period<//>
    <${Th} how="spark" class="wide">last day<//><${Th} how="users" class="num users">users below<//>`;
  return html`<${LongTable} label="SLOs" columns=${12} head=${head} rows=${rows} height=${rowHeight} row=${(x, i) => html`<${Safe} key=${x.key} what=${x.key} wrap=${row => html`<tr><td colspan="12">${row}</td></tr>`}><${Row} x=${x} index=${i} /><//>`} />`;
}
function rowHow({ r, s, burns, whole, period, sli }) {
  const line = (name, b, x) => [name, `${w.burn(b)}${x ? `: ${w.count(x.bad)} bad of ${w.count(x.good + x.bad)} events since ${w.time(x.start)}` : ''}`];
  return { title: w.title(r), text: `Burn = (bad ÷ events) ÷ (1 − ${w.objective(r.objective)}). Budget left = 1 − burn over ${period} = ${w.pct(r.budget_remaining)}. SLI = good ÷ events = ${w.pct(sli)}.`, formula: null,
    rows: [...WINDOWS.map((x, i) => line(x, burns[i], s && w.windowOf(s, x))), line(period, whole, s && w.compliance(s)), ...(s ? facts(s) : [['As of (T)', r.at]])] };
}
function Row({ x, index }) {
  if (x.unreadable) throw new Error('it is not a status');
  const row = rowOf(x), { r, burns, whole, users, mood } = row;
  return html`<tr aria-rowindex=${index + 2} data-state=${r.state}>
    <td class="state"><${State} of=${r} />${r.state !== 'no_data' && html`<span class=${`mood ${mood.tone}`} title=${mood.text}>${mood.word}</span>`}</td>
    <th scope="row"><a href=${keyHref(r)}>${w.title(r)}</a><span class="under">${r.scope !== 'aggregate' ? html`<b>${w.scopeName(r)}</b> · ` : ''}<span class="thin">${mood.word} · </span>${r.service} · ${w.objective(r.objective)} over ${row.period}</span></th>
    <td class="budget"><${How} class="big" of=${() => rowHow(row)}>${w.pct(r.budget_remaining)}<//><${Left} s=${r} />${row.coverage < 1 && html`<span class="under" title="Of the period, this share has been seen so far">${w.pct(row.coverage)} seen</span>`}</td>
    <td class="num wide">${w.pct(row.sli)}</td>
    ${burns.map((b, i) => html`<td key=${i} class=${`num burn ${i === 1 ? '' : 'wide'} ${burnTone(b)}`}>${w.burn(b)}</td>`)}
    <td class=${`num burn wide ${burnTone(whole)}`}>${w.burn(whole)}</td>
    <td class="wide"><${Spark} slis=${row.spark} objective=${r.objective} /></td>
    <td class="num users">${users ? html`<span class=${users.below_objective > Math.max(2, 2 * users.below_expected) ? 'warn' : ''}>${w.count(users.below_objective)}</span><span class="under">of ${w.short(users.users)}</span>` : w.NONE}</td>
  </tr>`;
}
