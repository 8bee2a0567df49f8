// One SLO in one scope: the aggregate on top, the distribution over its users below, then who, why and since when.
import { keyOf, store, tenantOf, useApi, useStore, useTenants } from './data.js';
import * as w from './words.js';
import { Box, How, Icon, Left, Loaded, Safe, Scroll, Section, Severity, State, Tag, budgetHow, burnHow, burnTone, facts, href, html, keyHref, sliHow } from './parts.js';
import { History } from './chart.js';
import { Cohorts, Users } from './users.js';

export function OneSlo({ path, query }) {
  useStore();
  const slo = path[0], tenant = query.get('tenant');
  let group = null;
  try { group = query.get('group') && JSON.parse(query.get('group')); } catch { /* As if there were none. */ }
  const scope = tenant ? 'tenant' : group ? 'group' : 'aggregate', q = encodeURIComponent;
  const key = keyOf({ slo, scope, tenant, group: group ?? {} }), isOurs = r => !r.unreadable && r.slo === slo && keyOf(r) === key;
  const own = `slo=${q(slo)}&scope=${scope}${tenant ? `&tenant=${q(tenant)}` : ''}`;
  const asked = useApi(`/api/v1/status?${own}`, { shelf: 'status', covers: isOurs });
  useApi(`/api/v1/alerts?${own}&state=all`, { shelf: 'alerts', covers: isOurs });
  useApi(`/api/v1/cohorts?${own}&state=all`, { shelf: 'cohorts', covers: isOurs });
  useTenants(tenant, Boolean(tenant));
  const s = store.status.get(key);
  if (!s) return html`<h1 tabindex="-1">${slo}</h1><${Loaded} of=${asked} what="The SLO" path="/api/v1/status"><${Box} title="No such key">This instance has no status of <code>${key}</code>. It may have been removed, or no event of it was seen yet. <a href=${href([], { q: slo })}>Search the overview</a><//><//>`;
  const alerts = [...store.alerts.values()].filter(isOurs), cohorts = [...store.cohorts.values()].filter(isOurs);
  return html`<${Safe} what="The title"><${Head} s=${s} alerts=${alerts} /><//>
    <${Section} id="big" title="Now" what="The figures"><${Big} s=${s} /><//>
    <${Safe} what="What this kind of SLO adds"><${Kinds} s=${s} /><//>
    ${!s.gauge && html`<${Section} id="time" title="Over time"><${History} s=${s} id=${key} alerts=${alerts} cohorts=${cohorts} query=${query} /><//>
    <${Section} id="users" title="Its users"><${Users} s=${s} /><//>
    <${Section} id="cohorts" title="Who suffers"><${Cohorts} s=${s} cohorts=${cohorts} /><//>
    <${Section} id="alerts" title="Alerts"><${Alerts} s=${s} alerts=${alerts} /><//>`}
    <${Section} id="windows" title="Windows side by side"><${Windows} s=${s} /><//>
    ${s.failures?.length > 0 && html`<${Section} id="failures" title="What failed"><${Failures} s=${s} /><//>`}
    ${scope === 'aggregate' && html`<${Section} id="parts" title="By tenant and group"><${Parts} slo=${slo} /><//>`}
    ${scope === 'aggregate' && html`<${Canaries} slo=${slo} />`}
    ${!s.gauge && html`<${Section} id="forecast" title="Forecast"><${Forecast} s=${s} /><//>`}
    <${Section} id="definition" title="Definition"><${Definition} s=${s} alerts=${alerts} /><//>`;
}

// --- title and what fires ---------------------------------------------------------------------

function Head({ s, alerts }) {
  const mood = w.mood(s), loud = alerts.filter(a => a.state !== 'resolved');
  return html`<div class="title">
    <p class="crumbs"><a href="#/">Overview</a> <${Icon} name="go" /> ${s.scope === 'aggregate' ? s.service : html`<a href=${href(['slo', s.slo])}>${w.title(s)}</a> <${Icon} name="go" /> ${s.scope === 'tenant' ? html`<a href=${href(['tenant', s.tenant])}>tenant ${w.tenantName(s.tenant)}</a>` : `group ${w.scopeName(s)}`}`}</p>
    <h1 tabindex="-1">${w.title(s)}${s.scope !== 'aggregate' && html`<span class="of"> · ${w.scopeName(s)}</span>`}</h1>
    <p class="meta"><${State} of=${s} /><span class=${`mood ${mood.tone}`}>${mood.word}</span><span>${mood.text}</span></p>
    <p class="quiet"><code>${s.slo}</code> · ${promise(s)} over ${s.compliance_window}${s.period ? '' : ', rolling'} · ${s.scope === 'aggregate' ? 'all tenants' : w.scopeName(s)}${s.tenant && w.tenantName(s.tenant) !== s.tenant && html` (<code>${s.tenant}</code>)`}${s.tenant && tenantOf(s.tenant).owner && ` · owner ${tenantOf(s.tenant).owner}`}${s.maintenance && html` · <span class="warn">in maintenance: ${s.maintenance}; events of it do not count</span>`}${s.flags.map(f => html` · <span class="warn">${w.FLAGS[f] ?? f}</span>`)}</p>
    ${loud.map(a => html`<div class=${`banner inside ${w.SEVERITIES[a.severity]?.[1]}`}><${Severity} of=${a.severity} /> <span>${w.said(a.summary)}</span>${a.runbook_url && html` <a href=${a.runbook_url} rel="noreferrer">Runbook</a>`}</div>`)}
  </div>`;
}

// --- three big numbers ------------------------------------------------------------------------

const unit = s => (s.budgeting_method !== 'Occurrences' ? 'slices' : s.journey ? 'attempts' : 'events');
const OPS = { lte: 'at most', lt: 'below', gte: 'at least', gt: 'above' };
const promise = s => (s.gauge ? `a value ${OPS[s.gauge.op]} ${s.gauge.target}` : `${w.objective(s.objective)} of ${unit(s)} good`);
function Big({ s }) {
  if (s.gauge) return html`<${Gauge} g=${s.gauge} s=${s} />`;
  const all = w.compliance(s), hour = w.windowOf(s, '1h') ?? s.windows[0], b = s.budget;
  if (!all) return html`<${Box} title="No window has figures yet">They appear with the first events.<//>`;
  return html`<div class="bigs">
    <div><h3>SLI over ${all.window}</h3><${How} class="figure" of=${() => sliHow(s, all)}>${w.pct(all.sli)}<//>
      <p>${all.sli === null ? 'No events in the window' : all.sli >= s.objective ? `at or above the objective of ${w.objective(s.objective)}` : html`<span class="bad">below the objective of ${w.objective(s.objective)}</span>`}</p>
      <p class="quiet">${w.short(all.bad)} bad of ${w.short(all.good + all.bad)} ${unit(s)}${all.coverage < 1 ? ` · ${w.pct(all.coverage)} of the window covered` : ''}</p></div>
    <div><h3>Error budget left</h3><${How} class=${`figure ${s.budget_remaining <= 0 ? 'bad' : ''}`} of=${() => budgetHow(s)}>${w.pct(s.budget_remaining)}<//><${Left} s=${s} />
      <p>${b?.remaining_bad > 0 ? `${w.short(b.remaining_bad)} more ${unit(s)} may fail` : b?.allowed_bad > 0 ? html`<span class="bad">overspent by ${w.short(-b.remaining_bad)} ${unit(s)}</span>` : ''}</p>
      <p class="quiet">${b?.remaining_minutes > 0 ? `as long as ${w.span(b.remaining_minutes * 60_000)} of a total outage` : ''}</p></div>
    <div><h3>Burn rate over ${hour.window}</h3><${How} class=${`figure ${burnTone(hour.burn)}`} of=${() => burnHow(s, hour)}>${w.burn(hour.burn)}<//>
      <p>${hour.burn === null ? 'No events in the window' : hour.burn > 1 ? `at this rate the whole budget lasts ${w.span(days(s.compliance_window) / hour.burn)}` : 'no faster than allowed'}</p>
      <p class="quiet">5m ${w.burn(w.windowOf(s, '5m')?.burn)} · 6h ${w.burn(w.windowOf(s, '6h')?.burn)} · 1d ${w.burn(w.windowOf(s, '1d')?.burn)}</p></div>
  </div>`;
}
const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, M: 2_592_000_000, Q: 7_776_000_000, Y: 31_536_000_000 };
export const days = text => parseInt(text, 10) * (UNITS[text.at(-1)] ?? 0);
function Gauge({ g, s }) {
  return html`<div class="bigs"><div><h3>Value over ${s.compliance_window}</h3><span class="figure">${g.value === null ? w.NONE : +g.value.toPrecision(5)}</span><p>target: ${OPS[g.op]} ${g.target}</p></div>
    <div><h3>Met</h3><span class=${`figure ${g.is_met === false ? 'bad' : ''}`}>${g.is_met === null ? w.NONE : g.is_met ? 'yes' : 'no'}</span><p>${g.progress !== null ? `${w.pct(g.progress)} of the way from ${g.baseline}` : ''}</p></div>
    <div><h3>Trend a day</h3><span class="figure">${g.trend_per_day === null ? w.NONE : g.trend_per_day.toPrecision(3)}</span><p>${g.expected_at ? `met by ${w.time(g.expected_at)} at this trend` : ''}</p></div></div>`;
}

// --- windows ----------------------------------------------------------------------------------

function Windows({ s }) {
  return html`<${Scroll} label="Windows"><table><thead><tr><th scope="col">Window</th><th scope="col" class="num">SLI</th><th scope="col" class="num">Burn</th><th scope="col" class="num">Bad</th><th scope="col" class="num">Events</th><th scope="col" class="num">Covered</th><th scope="col" class="num">p50</th><th scope="col" class="num">p95</th><th scope="col" class="num">p99</th></tr></thead>
    <tbody>${s.windows.map(x => html`<tr key=${x.window}><th scope="row">${x.window}</th>
      <td class="num"><${How} of=${() => sliHow(s, x)}>${w.pct(x.sli)}<//></td><td class=${`num ${burnTone(x.burn)}`}><${How} of=${() => burnHow(s, x)}>${w.burn(x.burn)}<//></td>
      <td class="num">${w.short(x.bad)}</td><td class="num">${x.good === null ? w.NONE : w.short(x.good + x.bad)}</td><td class="num">${w.pct(x.coverage)}</td>
      ${['p50', 'p95', 'p99'].map(p => html`<td class="num">${w.ms(x.latency_ms?.[p])}</td>`)}</tr>`)}</tbody></table><//>
    <p class="quiet">p50, p95, p99: latency of half, 95 %, 99 % of the events, within 1 %. Events by weight.</p>`;
}

// --- alerts -----------------------------------------------------------------------------------

function Alerts({ s, alerts }) {
  const past = [...alerts].sort((a, b) => (a.started_at < b.started_at ? 1 : -1)), factors = {};
  alerts.forEach(a => a.rules.forEach(r => { factors[r.rule] = r.factor; }));
  useApi(`/api/v1/slo/${encodeURIComponent(s.slo)}`, { isList: false, isSlow: true }).data?.definition?.rules?.forEach(r => { factors[r.rule] = r.factor; });
  return html`<${Scroll} label="Alerts"><table><caption class="hide">Rules</caption><thead><tr><th scope="col">Rule</th><th scope="col">Severity</th><th scope="col">Now</th><th scope="col">Fires when</th></tr></thead>
    <tbody>${s.alerts.map(r => html`<tr key=${r.rule}><th scope="row"><code>${r.rule}</code></th><td><${Severity} of=${r.severity} /></td>
      <td>${r.state === 'firing' ? html`<b class=${w.SEVERITIES[r.severity]?.[1]}>firing</b> since ${w.time(r.since)}` : r.held_back_by.length ? html`<b class="warn">held back</b>: ${r.held_back_by.map(g => w.HELD[g] ?? g).join('; ')}` : html`<span class="quiet">quiet</span>`}</td>
      <td class="quiet">${w.ruleText(r.rule, factors[r.rule])}</td></tr>`)}</tbody></table><//>
    ${past.length === 0 ? html`<p class="quiet">No alert of this key that this instance remembers.</p>` : html`<h3>Episodes</h3><ol class="episodes">${past.slice(0, 20).map(a => html`<li key=${a.id}><${Episode} a=${a} /></li>`)}</ol>`}`;
}
function Episode({ a }) {
  const isOn = a.state !== 'resolved';
  return html`<details open=${isOn} id=${a.id}><summary><${Severity} of=${a.severity} /> <b>${w.time(a.started_at)}</b>${isOn ? html` · firing for ${w.ago(a.started_at)}` : ` to ${w.time(a.ended_at)} · ${w.ENDED[a.resolved_reason] ?? a.resolved_reason}`}${a.affected_users !== null ? ` · ${w.plural(a.affected_users, 'user')} affected` : ''}</summary>
    <p>${w.said(a.summary)}</p>
    <ul>${a.rules.map(r => html`<li><code>${r.rule}</code> ${r.rule[0] > '9' ? w.ruleText(r.rule) : r.burn_long !== null && r.factor !== null ? html`${w.burn(r.burn_long)} over ${r.long_window}${r.short_window ? html` and ${w.burn(r.burn_short)} over ${r.short_window}` : ''}; limit ${w.burn(r.factor)}` : w.ruleText(r.rule)}, since ${w.time(r.since)}${r.onset ? `, began ${w.time(r.onset)}` : ''}${r.lowered_by?.length ? html` · <span class="warn">lowered to ticket: ${r.lowered_by.map(g => w.HELD[g] ?? g).join('; ')}</span>` : ''}</li>`)}</ul>
    <p>${a.cohort?.cohort?.length ? html`<${Icon} name="users" /> <b>${w.pairs(a.cohort.cohort)}</b>${a.cohort.bad_share !== null ? `: ${w.pct(a.cohort.bad_share)} of the failures` : ''}${a.cohort.risk_ratio !== null ? `, ${w.burn(a.cohort.risk_ratio)} as likely as elsewhere` : ''}` : a.affected_users !== null ? `${w.count(a.affected_users)} of ${w.plural(a.users_active, 'user')}; no single cohort stands out.` : ''}</p>
    ${a.exemplars.length > 0 && html`<table class="tight"><caption>Bad requests, as examples</caption><thead><tr><th scope="col">When</th><th scope="col">Operation</th><th scope="col">Status</th><th scope="col">Dependency</th><th scope="col">Trace</th></tr></thead><tbody>${a.exemplars.map(x => html`<tr><td>${w.time(x.at, true)}</td><td>${x.operation ?? w.NONE}</td><td>${x.status ?? w.NONE}</td><td>${x.dependency ?? w.NONE}</td><td><code>${x.trace_id ?? w.NONE}</code></td></tr>`)}</tbody></table>`}
    <p class="quiet">${[a.owner && `Owner ${a.owner}`, `id ${a.id.slice(0, 12)}`, `record ${a.seq}`].filter(Boolean).join(' · ')}${a.runbook_url && html` · <a href=${a.runbook_url} rel="noreferrer">Runbook</a>`}${a.dashboard_url && html` · <a href=${a.dashboard_url} rel="noreferrer">Dashboard</a>`}</p></details>`;
}

// --- the rest ---------------------------------------------------------------------------------

function Failures({ s }) {
  return html`<${Scroll} label="Failures"><table><thead><tr><th scope="col">Dependency</th><th scope="col">Type of error</th><th scope="col" class="num">Bad, 1h</th><th scope="col" class="num">of all, 1h</th><th scope="col" class="num">Bad, ${s.compliance_window}</th><th scope="col" class="num">of all</th></tr></thead>
    <tbody>${s.failures.map(f => html`<tr><th scope="row">${f.dependency === '-' ? 'none named' : f.dependency}</th><td>${f.error_type === '-' ? 'none named' : f.error_type}</td><td class="num">${w.short(f.bad_1h)}</td><td class="num">${w.pct(f.share_1h)}</td><td class="num">${w.short(f.bad_period)}</td><td class="num">${w.pct(f.share_period)}</td></tr>`)}</tbody></table><//>`;
}
function Parts({ slo }) {
  useTenants();
  const q = encodeURIComponent(slo);
  const tenants = useApi(`/api/v1/status?slo=${q}&scope=tenant`, { shelf: 'status', covers: s => s.slo === slo && s.scope === 'tenant' });
  const groups = useApi(`/api/v1/status?slo=${q}&scope=group`, { shelf: 'status', covers: s => s.slo === slo && s.scope === 'group' });
  const part = (of, scope, name) => {
    const all = [...store.status.values()].filter(s => s.slo === slo && s.scope === scope).sort((a, b) => (a.budget_remaining ?? 2) - (b.budget_remaining ?? 2));
    if (of.data && !all.length) return null;
    return html`<${Loaded} of=${of} what=${name} path="/api/v1/status"><table class="tight"><thead><tr><th scope="col">${name}</th><th scope="col">Budget left</th><th scope="col" class="num">Burn 1h</th><th scope="col" class="num wide">Users below</th></tr></thead>
      <tbody>${all.slice(0, 10).map(s => { const u = s.users?.[0], b = w.windowOf(s, '1h')?.burn; return html`<tr><th scope="row"><a href=${keyHref(s)}>${w.scopeName(s)}</a></th><td class="budget"><span class="big">${w.pct(s.budget_remaining)}</span><${Left} s=${s} /></td><td class=${`num ${burnTone(b)}`}>${w.burn(b)}</td><td class="num wide">${u ? `${w.count(u.below_objective)} of ${w.short(u.users)}` : w.NONE}</td></tr>`; })}</tbody></table>
      ${all.length > 10 && html`<p><a href=${href([], { scope, q: slo })}>All ${w.count(all.length)}</a></p>`}<//>`;
  };
  const left = part(tenants, 'tenant', 'Tenant'), right = part(groups, 'group', 'Group');
  return left || right ? html`<div class="two">${left && html`<div>${left}</div>`}${right && html`<div>${right}</div>`}</div>` : html`<p class="quiet">No tenant or group has figures yet.</p>`;
}
function Canaries({ slo }) {
  const q = encodeURIComponent(slo), of = useApi(`/api/v1/canaries?slo=${q}`, { shelf: 'canaries', covers: c => c.slo === slo });
  const all = [...store.canaries.values()].filter(c => c.slo === slo).sort((a, b) => (a.started_at < b.started_at ? 1 : -1));
  if (of.data && !all.length) return null;
  const VERDICT = { pass: ['ok', 'pass'], fail: ['bad', 'fail'], inconclusive: ['none', 'undecided'] };
  return html`<${Section} id="canary" title="Canaries"><${Loaded} of=${of} what="Canaries" path="/api/v1/canaries"><${Scroll} label="Canaries"><table><thead><tr><th scope="col">Candidate</th><th scope="col">Verdict</th><th scope="col">Against</th><th scope="col" class="num">Failed</th><th scope="col" class="num">Baseline</th><th scope="col" class="num">Evidence</th><th scope="col">Since</th></tr></thead>
    <tbody>${all.map(c => html`<tr><th scope="row">${c.attribute} = ${c.candidate}</th><td><${Tag} tone=${VERDICT[c.verdict]?.[0]} icon=${VERDICT[c.verdict]?.[0]}>${VERDICT[c.verdict]?.[1] ?? c.verdict}<//><span class="under">${c.reason}</span></td><td>${c.baseline ?? 'all older ones'}</td>
      <td class="num">${w.count(c.bad_candidate)} of ${w.short(c.requests_candidate)}</td><td class="num">${w.count(c.bad_baseline)} of ${w.short(c.requests_baseline)}</td>
      <td class="num"><${How} of=${() => ({ title: 'Evidence of a canary', text: 'An e-value: how much better “the candidate fails more often” explains the failures than “it does not”. It starts at 1; 100 decides, however often one looks.', formula: 'mean over ratios 1.5 to 30 of Π (q ÷ q₀)^bad candidate × ((1 − q) ÷ (1 − q₀))^bad baseline', rows: [['Candidate', `${w.count(c.requests_candidate)} requests`], ['Baseline', `${w.count(c.requests_baseline)} requests`], ['As of (T)', c.at]] })}>${c.e_value === null ? w.NONE : c.e_value < 1000 ? c.e_value.toFixed(1) : '> 1,000'}<//></td><td>${w.time(c.started_at)}</td></tr>`)}</tbody></table><//><//><//>`;
}
function Forecast({ s }) {
  const f = s.forecast;
  if (s.budget_remaining !== null && s.budget_remaining <= 0) return html`<p>The budget is spent. In a rolling window it comes back as old failures leave the window.</p>`;
  if (!f) return html`<p class="quiet">None yet: it needs some days of history, and is made every hour.</p>`;
  const span = days(s.compliance_window), T = Date.parse(s.at), x = at => (at ? Math.min(1, (Date.parse(at) - T) / span) * 600 : null);
  if (!f.exhaustion_p10) return html`<p>The budget is not expected to run out within ${s.compliance_window}: fewer than 1 in 10 simulated futures spend it.</p>`;
  const [a, b, c] = [f.exhaustion_p10, f.exhaustion_p50, f.exhaustion_p90].map(x);
  const said = at => at ? `${w.day(at)}, ${at.slice(11, 16)} (in ${w.span(Date.parse(at) - T)})` : `not within ${s.compliance_window}`;
  return html`<p>When the budget will be gone, if failures and traffic go on as lately:</p>
    <svg class="fan" viewBox="0 0 600 30" preserveAspectRatio="none" aria-hidden="true"><rect class="track" y="12" width="600" height="6" /><rect class="range" x=${a} y="8" width=${(c ?? 600) - a} height="14" />${b !== null && html`<rect class="mid" x=${b - 1.5} y="3" width="3" height="24" />`}</svg>
    <dl class="row"><dt>Early (p10)</dt><dd>${said(f.exhaustion_p10)}</dd><dt>Likely (p50)</dt><dd>${said(f.exhaustion_p50)}</dd><dt>Late (p90)</dt><dd>${said(f.exhaustion_p90)}</dd></dl>
    <p class="quiet"><${How} of=${() => ({ title: 'Forecast', text: 'Simulated futures: hourly failures of the last 48 h are drawn again, recent ones more often, at the traffic of the same hours. What leaves a rolling window gives budget back.', rows: facts(s) })}>How<//> it is made</p>`;
}
function Kinds({ s }) {
  return html`
    ${s.sla && html`<${Section} id="sla" title="Agreement (SLA)"><p>${w.objective(s.sla.objective)} over ${s.sla.period}, ${w.time(s.sla.start)} to ${w.time(s.sla.end)}: <b>${w.pct(s.sla.sli)}</b>, ${w.pct(s.sla.budget_remaining)} of its budget left. ${s.sla.is_missed ? html`<b class="bad">Missed</b>` : s.sla.at_risk ? html`<b class="warn">At risk</b>` : html`<b class="ok">Kept so far</b>`}</p>${s.sla.previous && html`<p class="quiet">Period before: ${w.pct(s.sla.previous.sli)}${s.sla.previous.is_final ? '' : ' (not final)'}</p>`}<//>`}
    ${s.period && html`<${Section} id="period" title="Period"><p>${w.time(s.period.start)} to ${w.time(s.period.end)} UTC; ${w.pct(s.period.elapsed)} of it is over.</p>${s.previous && html`<p>Period before: SLI <b>${w.pct(s.previous.sli)}</b>, <b>${w.pct(s.previous.budget_remaining)}</b> of the budget left${s.previous.is_final ? '' : ' (not final: late events may still come)'}.</p>`}<//>`}
    ${s.policy && html`<${Section} id="policy" title="Policy"><p><b>${s.policy.action}</b> since ${w.time(s.policy.since)}: ${s.policy.reason}</p><//>`}
    ${s.components?.length > 0 && html`<${Section} id="components" title="Components"><table><thead><tr><th scope="col">Component</th><th scope="col" class="num">Objective</th><th scope="col" class="num">Weight</th><th scope="col" class="num">SLI</th><th scope="col" class="num">Budget left</th></tr></thead><tbody>${s.components.map(c => html`<tr><th scope="row"><a href=${href(['slo', c.name])}>${c.name}</a></th><td class="num">${w.objective(c.objective)}</td><td class="num">${c.weight}</td><td class="num">${w.pct(c.sli)}</td><td class="num">${w.pct(c.budget_remaining)}</td></tr>`)}</tbody></table><//>`}
    ${s.journey && html`<${Section} id="journey" title="Journey"><p>${w.plural(s.journey.attempts, 'attempt')}, ${w.count(s.journey.abandoned)} abandoned (neither good nor bad)${s.journey.stray > 0 && `; ${w.count(s.journey.stray)} events of a step that nobody had come to`}. ${s.journey.compound !== null && html`All steps together: <b>${w.pct(s.journey.compound)}</b> do not fail.`}</p><table><thead><tr><th scope="col">Step</th><th scope="col" class="num">Entered</th><th scope="col" class="num">Failed</th><th scope="col" class="num">Abandoned</th></tr></thead><tbody>${s.journey.steps.map(x => html`<tr><th scope="row">${x.name}</th><td class="num">${w.count(x.entered)}</td><td class="num">${w.count(x.failed)}</td><td class="num">${w.count(x.abandoned)}</td></tr>`)}</tbody></table><//>`}`;
}
function Definition({ s, alerts }) {
  const of = useApi(`/api/v1/slo/${encodeURIComponent(s.slo)}`, { isList: false, isSlow: true }), d = of.data?.definition ?? {}, i = d.indicator ?? {};
  const known = alerts.find(a => a.owner || a.runbook_url) ?? {};
  const link = url => url && html`<a href=${url} rel="noreferrer">${url}</a>`;
  const rows = [
    ['What', d.description], ['Why', d.why], ['How measured', d.how_measured], ['Owner', d.owner ?? known.owner], ['Escalation', d.escalation], ['Accepted variation', d.accepted_variation], ['Review by', d.review_by],
    ['Runbook', link(d.runbook ?? known.runbook_url)], ['Dashboard', link(d.dashboard ?? known.dashboard_url)],
    ['What counts', of.data?.definition && (i.total ? html`<code>${i.total}</code>` : 'every event')], ['Good', i.good && html`<code>${i.good}</code>`], ['Bad', i.bad && html`<code>${i.bad}</code>`],
    ['Good', i.threshold && html`<code>${typeof i.threshold === 'string' ? i.threshold : Object.values(i.threshold).join(' ')}</code>`],
    ['Groups by', d.group_by?.join(', ')], ['Tenants’ own', Object.entries(d.tenant_objectives ?? {}).map(([t, o]) => html`<a href=${href(['slo', s.slo], { tenant: t })}>${t}</a> ${w.objective(o)} `)], ['Accepted late', d.allowed_lateness],
    ['Objective', `${s.gauge ? promise(s) : w.objective(s.objective)} over ${s.compliance_window}, ${s.budgeting_method}`], ['Service', s.service],
    ['Labels', Object.entries(s.labels ?? {}).map(([k, v]) => html`<a href=${href([], { label: `${k}=${[v].flat()[0]}` })}>${k} = ${[v].flat().join(', ')}</a> `)],
    ['Counted', `${w.count(s.counts.accepted)} events since ${w.time(s.counts.counts_since)}; ${w.count(s.counts.unclassified)} unclassified, ${w.count(s.counts.late)} late`],
    ['Hash', html`<code class="long">${s.definition_hash}</code>`],
  ];
  return html`<dl class="wide">${rows.filter(([, v]) => v && v.length !== 0).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>
    ${of.data?.changes?.length > 0 && html`<h3>What changed</h3><dl class="wide">${[...of.data.changes].reverse().map(c => html`<dt>${w.time(c.since)}</dt><dd>${c.change} by <b>${c.by}</b>: ${c.reason}${c.fields.map(f => html`<br /><code>${f.field}</code>: ${f.before ?? 'none'} → ${f.after ?? 'none'}`)}</dd>`)}</dl>`}
    ${of.isMissing && html`<p class="quiet">Filters, why and how measured: this instance has no <code>/api/v1/slo</code>; the SLO's file has them.</p>`}`;
}
