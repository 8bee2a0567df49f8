// The distribution over users, and the cohorts that are served worse than others.
import { useState } from './vendor/hooks.mjs';
import * as w from './words.js';
import { Box, How, Icon, Scroll, Tag, facts, href, html } from './parts.js';

const GROUPS = [['sli_p50', 'The median user'], ['sli_worst_10pct', 'Edge of the worst 10 %'], ['sli_worst_1pct', 'Edge of the worst 1 %'], ['sli_worst_0_1pct', 'Edge of the worst 0.1 %']];

export function Users({ s }) {
  const [chosen, choose] = useState(null);
  if (!s.users?.length) return html`<p class="quiet">No distribution over users: none of its windows had a step yet, events carry no user, or this kind of SLO has none.</p>`;
  const u = s.users.find(x => x.window === chosen) ?? s.users[0];
  const [verdict, tone, text] = w.VERDICTS[u.dispersion?.verdict] ?? ['not tested', 'none', 'This window is too long for the test.'];
  const how = (title, text, formula, rows = []) => () => ({ title, text, formula, rows: [['Window', `${u.window}, as of ${w.time(u.at)} UTC`], ['Users', `${w.count(u.users)} with enough events; ${w.count(u.users_too_few)} with too few (min-user-events)`], ...rows, ...facts({ ...s, at: u.at })] });
  return html`<div class="tabs" role="group" aria-label="User window">${s.users.map(x => html`<button type="button" class="chip" aria-pressed=${x === u} onClick=${() => choose(x.window)}>${x.window}</button>`)}<span class="quiet">as of ${w.time(u.at)} UTC</span></div>
    ${u.users === 0 ? html`<${Box} title="No user has enough events">${w.plural(u.users_too_few, 'user')} had an event in ${u.window}, each fewer than the minimum (annotation <code>min-user-events</code>).<//>` : html`
    <div class="two"><div>
      <h3>What users get</h3>
      <table class="quantiles"><caption class="hide">Share of failed requests by user</caption><thead class="hide"><tr><th scope="col">User</th><th scope="col">SLI</th><th scope="col">Failed requests</th></tr></thead><tbody>
      ${GROUPS.map(([k, name]) => html`<tr><th scope="row">${name}</th><td class="num"><${How} of=${how(name, 'Users are sorted by their own SLI, the worst first; this is the SLI of the user at that place.', `SLI at rank min(n − 1, ⌊q n⌋) of ${w.count(u.users)} users`)}>${w.pct(u[k])}<//></td><td class="bars"><${Failed} sli=${u[k]} s=${s} /></td></tr>`)}
      ${u.sli_worst_1pct_estimate !== null && html`<tr class="est"><th scope="row">Worst 1 %, free of noise</th><td class="num"><${How} of=${how('Worst 1 %, free of noise', 'A user with five requests and one failure looks like 80 %. This estimate asks which true rates would make the users look as they do, and takes the worst 1 % of those.', 'non-parametric mixture over all users with events')}>${w.pct(u.sli_worst_1pct_estimate)}<//></td><td class="bars"><${Failed} sli=${u.sli_worst_1pct_estimate} s=${s} /></td></tr>`}
      </tbody></table>
      <p class="quiet">The bar is the share of failed requests, on a scale by powers of ten; the mark is what the objective allows (${w.pct(1 - s.objective)}).${u.worst_1pct_error_mean_estimate !== null ? ` On average the worst 1 % see ${w.oneIn(u.worst_1pct_error_mean_estimate)} fail, by the estimate.` : ''}</p>
      <${Picture} u=${u} s=${s} />
    </div><div>
      <h3>Below the objective</h3>
      <p class="pair"><${How} class=${`figure ${u.below_objective > Math.max(2, 2 * u.below_expected) ? 'warn' : ''}`} of=${how('Users below the objective', `Users whose own SLI is below ${w.objective(s.objective)}.`, `${w.count(u.below_objective)} of ${w.count(u.users)} = ${w.pct(u.below_share)}`)}>${w.count(u.below_objective)}<//> of ${w.plural(u.users, 'user')} (${w.pct(u.below_share)})</p>
      <p>Chance alone would put <b>${w.count(u.below_expected)}</b> there, if all had the same rate of failures.${u.below_objective < u.below_expected && ['systemic', 'unexplained'].includes(u.dispersion?.verdict) ? ' Fewer users are hit than by chance, and each much harder.' : ''}</p>
      ${(u.below_objective > 0 || u.below_expected > 0) && html`<svg class="against" viewBox="0 0 300 34" preserveAspectRatio="none" role="img" aria-label=${`${w.count(u.below_objective)} users below, ${w.count(u.below_expected)} by chance`}>${[[u.below_objective, 'seen', 2], [u.below_expected, 'chance', 20]].map(([n, c, y]) => html`<rect class=${c} x="0" y=${y} height="12" width=${n > 0 ? Math.max(2, 300 * n / Math.max(1, u.below_objective, u.below_expected)) : 0} />`)}</svg>
      <p class="legend"><span class="seen">seen</span><span class="chance">by chance</span></p>`}
      <p><${Tag} tone=${tone}>${verdict}<//> ${text}</p>
      ${u.dispersion && html`<p class="quiet"><${How} of=${how('Is it chance?', 'Tarone’s test on (events, minutes with a bad event) of each user: Z above 4 is not chance. Once more without the user with the most, so that one user is not taken for many.', 'Z = (S − N) ÷ √(2 (Σn² − N)),  ρ = (S − N) ÷ (Σn² − N)', [['Z', u.dispersion.z?.toFixed(1)], ['Z without the largest', u.dispersion.z_without_largest?.toFixed(1)], ['ρ', u.dispersion.rho?.toPrecision(2)]])}>Z ${u.dispersion.z === null ? w.NONE : u.dispersion.z.toFixed(1)}<//></p>`}
    </div></div>`}`;
}
/** The share of failed requests on a logarithmic scale from 0.01 % to 100 %. */
function Failed({ sli, s }) {
  if (sli === null) return null;
  const x = e => e <= 0 ? 0 : Math.max(0, Math.min(200, 50 * (Math.log10(e) + 4))), bad = 1 - sli, isBelow = sli < s.objective;
  return html`<svg class="failed" viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true"><rect class="track" y="4" width="200" height="6" /><rect class=${isBelow ? 'bad' : 'fine'} y="4" width=${x(bad)} height="6" /><rect class="mark" x=${x(1 - s.objective) - 1} width="2" height="14" /></svg><span class="hide">${w.pct(bad)} failed</span>`;
}

// Scales of the picture: users by their place from the worst on, and failed requests, both by powers of ten.
const WIDE = 460, HIGH = 150, EDGES = [[0.001, 'sli_worst_0_1pct', 'to 0.1 %'], [0.01, 'sli_worst_1pct', 'to 1 %'], [0.1, 'sli_worst_10pct', 'to 10 %'], [0.5, 'sli_p50', 'to half']];
const failedY = bad => HIGH - HIGH * Math.max(0, Math.min(1, (Math.log10(Math.max(bad, 1e-9)) + 4) / 4));
/** How users are spread, from the worst served to the best, as far as the published quantiles tell: in a full column every
 * user has at least so many failures, in the pale part above it some have. */
function Picture({ u, s }) {
  const known = EDGES.filter(([, k]) => u[k] !== null).map(([share, k, name]) => ({ share, bad: 1 - u[k], name, worse: Math.floor(share * u.users + 1e-9) }));
  if (known.length < 2 || u.users < 10) return null;
  // Where nobody comes before an edge, it is the worst user's own SLI.
  const worst = known.find(e => e.worse === 0)?.bad ?? 1, edges = [{ share: 0, bad: worst, worse: 0 }, ...known.filter(e => e.worse > 0), { share: 1, bad: 0, name: 'rest', worse: u.users }];
  const first = Math.log10(Math.max(3e-4, 0.3 * edges[1].share)), placeX = share => WIDE * Math.max(0, 1 - Math.log10(share || 1e-9) / first);
  const steps = edges.slice(1).map((edge, i) => ({ from: placeX(edges[i].share), to: placeX(edge.share), most: edges[i].bad, least: edge.bad, name: edge.name, users: edge.worse - edges[i].worse }));
  const limit = 1 - s.objective, said = steps.map(x => `${x.name} (${w.plural(x.users, 'user')}): ${w.pct(x.least)} to ${w.pct(x.most)} failed`).join('; ');
  return html`<figure class="picture"><figcaption>Users from the worst served to the best</figcaption>
    <svg viewBox=${`-44 -6 ${WIDE + 50} ${HIGH + 40}`} role="img" aria-label=${said}>
      ${[1, 0.1, 0.01, 0.001, 0.0001].map(b => html`<path class="grid" d=${`M0 ${failedY(b)}H${WIDE}`} /><text x="-6" y=${failedY(b) + 4} text-anchor="end">${b === 0.0001 ? '0' : `${b * 100} %`}</text>`)}
      ${steps.map(x => html`<rect class=${`may ${x.most > limit ? 'bad' : ''}`} x=${x.from + 1} width=${x.to - x.from - 2} y=${failedY(x.most)} height=${failedY(x.least) - failedY(x.most)} /><rect class=${`do ${x.least > limit ? 'bad' : ''}`} x=${x.from + 1} width=${x.to - x.from - 2} y=${failedY(x.least)} height=${HIGH - failedY(x.least)} /><text x=${(x.from + x.to) / 2} y=${HIGH + 14} text-anchor="middle">${x.name}</text><text x=${(x.from + x.to) / 2} y=${HIGH + 28} text-anchor="middle">${w.short(x.users)}</text>`)}
      <path class="limit" d=${`M0 ${failedY(limit)}H${WIDE}`} />
      ${u.below_share > 0 && html`<path class="cut" d=${`M${placeX(u.below_share)} 0V${HIGH}`} />`}
    </svg>
    <p class="quiet legend"><span class="do">failed for every user there, at least</span><span class="may">up to this for some</span><span class="limit">allowed by the objective</span>${u.below_share > 0 && html`<span class="cut">left of it: ${w.plural(u.below_objective, 'user')} below the objective</span>`}</p>
    <p class="quiet">Share of failed requests by users, who are counted under each column. Drawn from the four quantiles above, which are all that is published: there are no finer buckets.</p></figure>`;
}

export function Cohorts({ s, cohorts }) {
  const isOn = c => c.state !== 'closed', order = (a, b) => isOn(b) - isOn(a) || (b.budget_burnt ?? 0) - (a.budget_burnt ?? 0) || (a.started_at < b.started_at ? 1 : -1);
  const all = [...cohorts].sort(order), open = all.filter(isOn), closed = all.filter(c => !isOn(c));
  return html`${open.length === 0 && html`<p>No group of users stands out now. Every combination of up to three recorded attributes is searched at each step of each user window.</p>`}
    ${open.length > 0 && html`<${CohortTable} list=${open} s=${s} />`}
    ${closed.length > 0 && html`<details class="more"><summary>${w.plural(closed.length, 'cohort')} that ended</summary><${CohortTable} list=${closed.slice(0, 20)} s=${s} /></details>`}`;
}
function CohortTable({ list, s }) {
  return html`<${Scroll} label="Cohorts"><table class="cohorts"><thead><tr><th scope="col">Cohort</th><th scope="col" class="num">Budget burnt</th><th scope="col">How much likelier to fail</th><th scope="col" class="num">Its users</th><th scope="col" class="num">Of all failures</th><th scope="col">Since</th></tr></thead>
    <tbody>${list.map(c => html`<tr key=${c.id}><th scope="row"><${Icon} name="users" /> ${c.cohort.length ? w.pairs(c.cohort) : ({ tail_degraded: 'The worst 1 % of users', user: 'One user' })[c.kind] ?? 'no attribute'}
        <span class="under">${({ tail_degraded: 'the tail as a whole', users: 'by users below the objective', user: 'fails more than the rest of its tenant' })[c.kind] ?? 'by bad events'}, over ${c.window}${c.same_as ? ' · repeats one of all groups together' : ''}</span>
        ${c.sample_users.length > 0 && html`<span class="under">most failures: ${c.sample_users.map((u, i) => html`${i ? ', ' : ''}<${UserLink} id=${u} c=${c} />`)}</span>`}</th>
      <td class="num">${w.pct(c.budget_burnt)}</td>
      <td>${c.risk_ratio === null ? w.NONE : html`<${How} of=${() => ({ title: 'Risk ratio', text: 'How many times likelier a member is served badly than everybody else, with its 95 % interval. From 2 on (lower end) a cohort is told.', formula: c.kind === 'events' ? '(bad events inside ÷ expected ones) ÷ (the same outside)' : c.users_in_tail === null || c.tail_total === null ? 'share of bad events inside ÷ outside' : `(${w.count(c.users_in_tail)} ÷ ${w.count(c.users)}) ÷ (${w.count(c.tail_total - c.users_in_tail)} ÷ ${w.count(c.users_total - c.users)})`, rows: [['Interval', `${w.burn(c.risk_ratio_low)} to ${w.burn(c.risk_ratio_high)}`], ['p, adjusted', c.p_adjusted?.toPrecision(2)], ['Window', c.window], ['As of (T)', c.at], ['Definition', s.definition_hash.slice(0, 12)]] })}>${w.burn(c.risk_ratio)}<//><${Interval} c=${c} />`}</td>
      <td class="num">${c.users_in_tail === null ? w.NONE : html`${w.count(c.users_in_tail)}<span class="under">${c.users !== null && `of ${w.count(c.users)}`}</span>`}</td>
      <td class="num">${w.pct(c.bad_share)}</td>
      <td>${w.time(c.started_at)}<span class="under">${c.state === 'closed' ? `ended ${w.time(c.at)}` : w.ago(c.started_at)}</span></td></tr>`)}</tbody></table><//>`;
}
/** Sample users are `tenant/user` where the cohort spans tenants. */
function UserLink({ id, c }) {
  const [tenant, user] = c.tenant ? [c.tenant, id] : id.includes('/') ? [id.slice(0, id.indexOf('/')), id.slice(id.indexOf('/') + 1)] : [null, id];
  return tenant ? html`<a href=${href(['tenant', tenant], { user, slo: c.slo })}>${user}</a>` : html`<code>${user}</code>`;
}
function Interval({ c }) {
  const x = r => Math.max(0, Math.min(120, 40 * Math.log10(Math.max(1, r ?? 1e3)))), low = x(c.risk_ratio_low), high = x(c.risk_ratio_high ?? 1000);
  return html`<svg class="interval" viewBox="0 0 120 14" aria-hidden="true"><path class="axis" d="M0 7H120M0 3v8M40 4v6M80 4v6M120 4v6" /><rect x=${low} y="5" width=${Math.max(2, high - low)} height="4" /><circle cx=${x(c.risk_ratio)} cy="7" r="3.4" /></svg><span class="under">${w.burn(c.risk_ratio_low)} to ${w.burn(c.risk_ratio_high)}</span>`;
}
