// Tenants, and one tenant: its SLOs, its worst-served users, and one user by id.
import { store, tenantOf, useApi, useStore, useTenants } from './data.js';
import * as w from './words.js';
import { Box, Left, Icon, Loaded, LongTable, Scroll, Section, Severity, State, Tag, burnTone, href, html, keyHref, route, setQuery } from './parts.js';
import { firing, useRows } from './overview.js';

const RANK = { breached: 0, at_risk: 1, no_data: 2, ok: 3 };
const byBudget = (a, b) => (a.budget_remaining ?? 2) - (b.budget_remaining ?? 2);

export function Tenants({ query }) {
  useStore();
  useTenants();
  const { of, rows: all } = useRows('tenant'), tenants = new Map();
  for (const x of all) {
    if (x.unreadable) continue;
    const t = tenants.get(x.r.tenant) ?? { name: x.r.tenant, slos: 0, worst: x.r };
    t.slos += 1;
    if (RANK[x.r.state] < RANK[t.worst.state] || (x.r.state === t.worst.state && byBudget(x.r, t.worst) < 0)) t.worst = x.r;
    tenants.set(t.name, t);
  }
  const q = (query.get('q') ?? '').toLowerCase();
  const has = t => [t.name, tenantOf(t.name).display_name, tenantOf(t.name).owner].some(x => x?.toLowerCase().includes(q));
  const rows = [...tenants.values()].filter(has).sort((a, b) => byBudget(a.worst, b.worst) || (a.name < b.name ? -1 : 1));
  const head = html`<th scope="col">Tenant</th><th scope="col" class="state">Worst SLO</th><th scope="col" class="wide">which is</th><th scope="col" class="budget">Budget left</th><th scope="col" class="num wide">SLOs</th>`;
  return html`<div class="title"><h1 tabindex="-1">Tenants</h1><p class="quiet" role="status">${w.count(rows.length)}, the least budget left first. Figures of a tenant come from its own events alone.</p></div>
    <form class="filters" role="search" onSubmit=${e => e.preventDefault()}><label class="find"><span class="hide">Search tenants</span><${Icon} name="search" /><input id="find" type="search" placeholder="Search   /" autocomplete="off" value=${query.get('q') ?? ''} onInput=${e => setQuery({ q: e.currentTarget.value })} /></label></form>
    <${Loaded} of=${of} what="Tenants" path="/api/v1/status">${rows.length === 0 ? html`<${Box} title="No tenant">${q ? 'None has this text in its id, name or owner.' : 'A tenant appears with its first event.'}<//>`
    : html`<${LongTable} label="Tenants" columns=${5} head=${head} rows=${rows} height=${() => (innerWidth < 760 ? 64 : 54)} row=${(t, i) => html`<tr key=${t.name} aria-rowindex=${i + 2}><th scope="row"><a href=${href(['tenant', t.name])}>${w.tenantName(t.name)}</a><${Who} id=${t.name} /></th><td class="state"><${State} of=${t.worst} /></td><td class="wide">${w.title(t.worst)}</td><td class="budget"><span class="big">${w.pct(t.worst.budget_remaining)}</span><${Left} s=${t.worst} /></td><td class="num wide">${w.count(t.slos)}</td></tr>`} />`}<//>`;
}

/** The id where the name is another text, and who owns the tenant. */
function Who({ id }) {
  const { display_name: name, owner } = tenantOf(id), parts = [name && name !== id && html`<code>${id}</code>`, owner && `owner ${owner}`].filter(Boolean);
  return parts.length > 0 && html`<span class="under">${parts.map((x, i) => html`${i ? ' · ' : ''}${x}`)}</span>`;
}

export function Tenant({ path, query }) {
  useStore();
  const tenant = path[0], q = encodeURIComponent(tenant ?? ''), { labels } = tenantOf(tenant);
  useTenants(tenant);
  const of = useApi(`/api/v1/status?scope=tenant&tenant=${q}`, { shelf: 'status', covers: s => s.tenant === tenant });
  const all = [...store.status.values()].filter(s => !s.unreadable && s.scope === 'tenant' && s.tenant === tenant).sort(byBudget);
  const alerts = firing().filter(a => a.tenant === tenant), slas = all.filter(s => s.sla);
  const slo = query.get('slo') ?? all[0]?.slo;
  return html`<div class="title"><p class="crumbs"><a href="#/tenants">Tenants</a></p><h1 tabindex="-1">${w.tenantName(tenant)}</h1>
    <p class="quiet"><${Who} id=${tenant} />${Object.keys(labels ?? {}).length > 0 && html` <${Attributes} of=${labels} />`}</p>
    <p class="meta">${all.length ? `${w.plural(all.length, 'SLO')}: ${Object.entries(w.STATES).map(([k, x]) => [all.filter(s => s.state === k).length, x.word]).filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(', ')}` : ''}</p></div>
    ${alerts.length > 0 && html`<ul class="lines">${alerts.map(a => html`<li><${Severity} of=${a.severity} /><a href=${keyHref(a)}>${w.title(a)}</a><span>${w.said(a.summary)}</span></li>`)}</ul>`}
    <${Section} id="own" title="Its SLOs"><${Loaded} of=${of} what="Its SLOs" path="/api/v1/status">${all.length === 0 ? html`<${Box} title="No figures of this tenant">No SLO has a status for <code>${tenant}</code> here. Is the id spelt as in the events? <a href="#/tenants">All tenants</a><//>` : html`
      <${Scroll} label="Table"><table><thead><tr><th scope="col">State</th><th scope="col">SLO</th><th scope="col">Budget left</th><th scope="col" class="num">SLI</th><th scope="col" class="num">Objective</th><th scope="col" class="num">Burn 1h</th><th scope="col" class="num">Burn 1d</th><th scope="col" class="num">Users below</th></tr></thead>
      <tbody>${all.map(s => { const u = s.users?.[0], hour = w.windowOf(s, '1h')?.burn, day = w.windowOf(s, '1d')?.burn; return html`<tr key=${s.slo}><td><${State} of=${s} /></td><th scope="row"><a href=${keyHref(s)}>${w.title(s)}</a><span class="under">${s.slo}</span></th><td class="budget"><span class="big">${w.pct(s.budget_remaining)}</span><${Left} s=${s} /></td><td class="num">${w.pct(w.compliance(s)?.sli)}</td><td class="num">${w.objective(s.objective)}</td><td class=${`num ${burnTone(hour)}`}>${w.burn(hour)}</td><td class=${`num ${burnTone(day)}`}>${w.burn(day)}</td><td class="num">${u ? `${w.count(u.below_objective)} of ${w.short(u.users)}` : w.NONE}</td></tr>`; })}</tbody></table><//>`}<//><//>
    ${slas.length > 0 && html`<${Section} id="slas" title="Agreements (SLA)"><table><thead><tr><th scope="col">SLO</th><th scope="col" class="num">Agreed</th><th scope="col" class="num">So far</th><th scope="col" class="num">Budget left</th><th scope="col">Until</th><th scope="col">Standing</th></tr></thead><tbody>${slas.map(s => html`<tr><th scope="row"><a href=${keyHref(s)}>${w.title(s)}</a></th><td class="num">${w.objective(s.sla.objective)}</td><td class="num">${w.pct(s.sla.sli)}</td><td class="num">${w.pct(s.sla.budget_remaining)}</td><td>${w.day(s.sla.end)}</td><td>${s.sla.is_missed ? html`<${Tag} tone="bad" icon="bad">missed<//>` : s.sla.at_risk ? html`<${Tag} tone="warn" icon="warn">at risk<//>` : html`<${Tag} tone="ok" icon="ok">kept so far<//>`}</td></tr>`)}</tbody></table><//>`}
    ${all.length > 0 && html`<${Section} id="users" title="Its users" aside=${html`<label class="aside">SLO <select value=${slo} onChange=${e => setQuery({ slo: e.currentTarget.value })}>${all.map(s => html`<option value=${s.slo}>${w.title(s)}</option>`)}</select></label>`}>
      <${Search} query=${query} />${query.get('user') && html`<${OneUser} slo=${slo} tenant=${tenant} user=${query.get('user')} />`}<${Worst} slo=${slo} tenant=${tenant} /><//>`}`;
}

// --- users ------------------------------------------------------------------------------------

function Search({ query }) {
  const go = e => { e.preventDefault(); location.hash = href(route().path, { ...Object.fromEntries(query), user: new FormData(e.currentTarget).get('user').trim() }); };
  return html`<form class="filters" role="search" onSubmit=${go}><label class="find far"><span class="hide">User id</span><${Icon} name="search" /><input id="find" name="user" type="search" autocomplete="off" placeholder="A user’s id, as in the events   /" defaultValue=${query.get('user') ?? ''} key=${query.get('user')} /></label><button type="submit">Find the user</button></form>`;
}
const Attributes = ({ of }) => Object.entries(of ?? {}).map(([k, v]) => html`<span class="attr"><span class="quiet">${k}</span> ${v}</span> `);
function OneUser({ slo, tenant, user }) {
  const q = encodeURIComponent, of = useApi(`/api/v1/user?slo=${q(slo)}&tenant=${q(tenant)}&user=${q(user)}`, { isList: false });
  if (of.isMissing) return html`<${Box} title=${`${user} is not among the worst-served users`}>Kept are the 100 worst-served users of each tenant, over the last day. Any user, with requests: <code>tailburn user --tenant ${tenant} --user ${user}</code>.<//>`;
  const u = of.data?.status;
  return html`<${Loaded} of=${of} what="The user" path="/api/v1/user"><div class="box user"><strong>${user}</strong>${of.data && of.data.user !== user && html`<p>published as <code>${of.data.user}</code></p>`}${u ? html`<p>SLI <b>${w.pct(u.sli)}</b> over ${u.window}: ${w.count(u.bad)} of ${w.plural(u.good + u.bad, 'request')} failed; rank ${u.rank} of the worst served.</p><p>First failure ${w.time(u.first_bad)}, last ${w.time(u.last_bad)}. <${Attributes} of=${u.attributes} /></p>` : html`<p>${user} ${of.data?.reason ?? 'is not known'}.</p>`}</div><//>`;
}
function Worst({ slo, tenant }) {
  const q = encodeURIComponent, of = useApi(`/api/v1/users?slo=${q(slo)}&tenant=${q(tenant)}`, { isSlow: true });
  const users = [...(of.data?.items ?? [])].sort((a, b) => a.rank - b.rank);
  return html`<${Loaded} of=${of} what="The worst-served users" path="/api/v1/users">${users.length === 0 ? html`<p class="quiet">No user of the last day is known here.</p>` : html`<h3>Worst served, over ${users[0].window} as of ${w.time(users[0].at)} UTC</h3>
    <${Scroll} label="Table"><table><thead><tr><th scope="col" class="num">Rank</th><th scope="col">User</th><th scope="col" class="num">SLI</th><th scope="col" class="num">at least</th><th scope="col" class="num">Failed</th><th scope="col" class="num">Requests</th><th scope="col">Last failure</th><th scope="col">Who</th></tr></thead>
    <tbody>${users.map(u => html`<tr key=${u.user}><td class="num">${u.rank}</td><th scope="row"><a href=${href(['tenant', tenant], { slo, user: u.user })}>${u.user}</a></th><td class="num">${w.pct(u.sli)}</td><td class="num">${w.pct(u.sli_low)}</td><td class="num">${w.count(u.bad)}</td><td class="num">${w.count(u.good + u.bad)}</td><td>${w.time(u.last_bad)}</td><td><${Attributes} of=${u.attributes} /></td></tr>`)}</tbody></table><//><p class="quiet">“At least”: Wilson’s lower bound, what so few or many requests allow to be said.</p>`}<//>`;
}
