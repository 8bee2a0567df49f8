// The processor itself: how far it is, what holds it back, what it could not read.
import { useEffect, useState } from './vendor/hooks.mjs';
import { link, metrics as askMetrics, now, useApi, useStore } from './data.js';
import * as w from './words.js';
import { Box, How, Scroll, Section, Tag, html } from './parts.js';

/** Prometheus' text: name -> [{labels, value}]. */
export function parse(text) {
  const metrics = new Map();
  for (const line of text.split('\n')) {
    const m = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = Object.fromEntries([...(m[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(x => [x[1], x[2]]));
    metrics.set(m[1], [...(metrics.get(m[1]) ?? []), { labels, value: Number(m[3]) }]);
  }
  return metrics;
}
function useMetrics() {
  const [metrics, set] = useState(null);
  useEffect(() => {
    const read = () => askMetrics().then(text => set(parse(text)), () => { /* The banner says that nobody answers. */ });
    read();
    const timer = setInterval(read, 5_000);
    return () => clearInterval(timer);
  }, []);
  return metrics;
}
const REASONS = {
  not_decodable: 'the record cannot be read', no_tenant: 'no tenant', no_timestamp: 'no time', before_2000: 'a time before 2000', in_the_future: 'a time in the future',
  not_finite: 'a weight that is no number', weight_out_of_range: 'a weight out of range', too_long: 'a tenant or user that is too long',
};
const bytes = n => n >= 1 << 30 ? `${(n / (1 << 30)).toFixed(1)} GiB` : n >= 1 << 20 ? `${(n / (1 << 20)).toFixed(0)} MiB` : `${(n / 1024).toFixed(0)} KiB`;

export function Processor() {
  useStore();
  const m = useMetrics(), of = useApi('/api/v1/processor', { isList: false });
  const get = (name, want = {}) => (m?.get(name) ?? []).filter(x => Object.entries(want).every(([k, v]) => x.labels[k] === v)).reduce((a, x) => a + x.value, 0);
  const has = name => m?.has(name), p = of.data ?? {};
  const late = get('tailburn_events_total', { verdict: 'late' }), dropped = get('tailburn_events_total', { verdict: 'late_dropped' }), accepted = get('tailburn_events_total', { verdict: 'accepted' });
  const dead = (m?.get('tailburn_dead_letters_total') ?? []).filter(x => x.value > 0), unreadable = (m?.get('tailburn_unreadable_fields_total') ?? []).filter(x => x.value > 0);
  const phase = link.phase?.phase, tasks = ['live', 'replaying', 'restoring'].map(state => [state, get('tailburn_tasks', { state })]);
  return html`<div class="title"><h1 tabindex="-1">Processor</h1><p class="quiet">How far it is, what holds it back, and what it could not read. ${p.version ? `tailburn ${p.version}. ` : ''}All of it for monitoring: <a href="/metrics">/metrics</a>.</p></div>
    <${Section} id="progress" title="Progress"><div class="bigs">
      <div><h3>T, all figures are as of</h3><${How} class="figure" of=${() => ({ title: 'T', text: 'Every boundary of 10 s in order, as far as the slowest partition of the input has come: its largest event time less the allowed disorder (5 s).', formula: 'min over partitions of (largest event time − out_of_orderness)', rows: [['T', now()]] })}>${w.time(now(), true)}<//><p>${now() ? w.day(now()) + ' UTC' : 'nothing evaluated yet'}</p></div>
      <div><h3>Instance</h3><span class="figure">${phase ?? w.NONE}</span><p>${link.cause ?? { live: 'assigned and restored', restoring: 'catching up; its figures are not current', starting: 'waiting for its tasks', stopping: 'handing its tasks over' }[phase] ?? ''}</p><p class="quiet">${tasks.filter(([, n]) => n).map(([s, n]) => `${w.plural(n, 'task')} ${s}`).join(', ')}</p></div>
      <div><h3>Events counted</h3><span class="figure">${w.short(accepted)}</span><p>good or bad, over all SLOs, since this process started</p><p class="quiet">${w.short(get('tailburn_events_total', { verdict: 'excluded' }))} excluded, ${w.short(get('tailburn_events_total', { verdict: 'unclassified' }))} unclassified</p></div>
    </div><//>
    <${Section} id="partitions" title="What holds T back"><${Partitions} p=${p} m=${m} /><//>
    <${Section} id="late" title="Late and unreadable"><div class="two"><div><h3>Late</h3><p><b>${w.count(late)}</b> came behind the watermark and were counted. <b class=${dropped ? 'warn' : ''}>${w.count(dropped)}</b> came too late to count (allowed-lateness).</p>
      ${unreadable.length > 0 && html`<h3>Unreadable fields</h3><table class="tight"><thead><tr><th scope="col">Field</th><th scope="col" class="num">Events without it</th></tr></thead><tbody>${unreadable.map(x => html`<tr><th scope="row"><code>${x.labels.field}</code></th><td class="num">${w.count(x.value)}</td></tr>`)}</tbody></table>`}</div>
      <div><h3>Dead letters</h3>${dead.length ? html`<table class="tight"><thead><tr><th scope="col">Reason</th><th scope="col" class="num">Records</th></tr></thead><tbody>${dead.map(x => html`<tr><th scope="row"><code>${x.labels.reason}</code><span class="under">${REASONS[x.labels.reason] ?? ''}</span></th><td class="num">${w.count(x.value)}</td></tr>`)}</tbody></table><p class="quiet">Look at them: <code>tailburn tap dead-letters</code></p><${Examples} of=${p.dead_letter_examples} />` : html`<p>None: every record could be read.</p>`}</div></div><//>
    <${Section} id="state" title="State"><dl class="wide">${[
      ['Memory', p.memory?.resident_bytes && bytes(p.memory.resident_bytes)],
      ['Rows in memory', m && ['users', 'rollup'].map(kind => `${w.count(get('tailburn_state_rows', { kind }))} ${kind}`).join(', ')],
      ['Local stores', p.state_bytes && `${bytes(p.state_bytes.memory)} in memory, ${bytes(p.state_bytes.disk)} on disk`],
      ['Left to restore', p.restore_remaining_records > 0 && `${w.plural(p.restore_remaining_records, 'record')}, then its tasks are live`],
      ['Changelog written', has('tailburn_changelog_written_bytes_total') && bytes(get('tailburn_changelog_written_bytes_total'))],
      ['Last checkpoint', has('tailburn_checkpoint_age_seconds') && `${w.span(get('tailburn_checkpoint_age_seconds') * 1000)} ago`],
      ['Keys', m && w.count(get('tailburn_keys'))],
      ['Board', p.board && `${w.count(p.board.keys)} keys${p.board.keys_not_shown ? ` (${w.count(p.board.keys_not_shown)} more found no room)` : ''}, ${w.count(p.board.alerts)} alerts, ${w.plural(p.board.viewers, 'live viewer')}${p.board.reading?.state === 'caught_up' ? '' : `; ${p.board.reading?.cause ?? 'still reading what was published'}`}`],
      ['History', p.board?.history && `${w.count(p.board.history.keys)} keys, ${bytes(p.board.history.bytes)}${p.board.history.from ? `, from ${w.day(p.board.history.from)}` : ''}`],
      ['Instance', p.instance && `${p.instance} of ${p.application_id}`], ['Role', p.role], ['Version', p.version],
    ].filter(([, v]) => v).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl><//>`;
}
function Examples({ of }) {
  const all = Object.entries(of ?? {}).flatMap(([reason, list]) => list.map(x => [reason, x]));
  if (!all.length) return null;
  const content = x => { try { return new TextDecoder().decode(Uint8Array.from(atob(x.value_base64 ?? ''), c => c.charCodeAt(0))); } catch { return ''; } };
  return html`<details class="more"><summary>The newest ones</summary><ul>${all.slice(0, 20).map(([reason, x]) => html`<li class="letter"><code>${reason}</code> <span class="quiet">${x.topic} ${x.partition ?? ''} at ${x.offset}</span><pre>${content(x).slice(0, 400)}</pre></li>`)}</ul></details>`;
}
/** The partitions as the metrics have them: those that this instance reads. */
function partitions(p, m) {
  if (p.partitions?.length) return p.partitions.map(x => ({ ...x, isIdle: x.is_idle, isOther: x.is_of_this_instance === false, isSlowest: p.held_back_by?.topic === x.topic && p.held_back_by.partition === x.partition }));
  const find = (name, l) => m?.get(name)?.find(x => x.labels.topic === l.topic && x.labels.partition === l.partition)?.value;
  const rows = (m?.get('tailburn_watermark_timestamp_seconds') ?? []).map(({ labels, value }) => ({ ...labels, watermark: value > 0 ? new Date(value * 1000).toISOString() : null, lag: find('tailburn_input_lag_records', labels), isIdle: find('tailburn_input_idle', labels) === 1 }));
  const waited = rows.filter(x => !x.isIdle && x.watermark).sort((a, b) => (a.watermark < b.watermark ? -1 : 1));
  if (waited.length > 1) waited[0].isSlowest = true;
  return rows.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition));
}
function Partitions({ p, m }) {
  const rows = partitions(p, m), held = p.held_back_by, furthest = Math.max(...rows.map(x => Date.parse(x.watermark)).filter(Number.isFinite));
  if (rows.length) {
    return html`${held ? html`<p><${Tag} tone="warn" icon="warn">held back<//> by <b>${held.topic} ${held.partition}</b> since ${w.time(held.since, true)}${held.behind_seconds ? `, ${w.span(held.behind_seconds * 1000)} behind the furthest` : ''}: ${held.why}.</p>` : p.partitions && html`<p><${Tag} tone="ok" icon="ok">nothing holds it back<//></p>`}<${Scroll} label="Partitions"><table><thead><tr><th scope="col">Partition</th><th scope="col">Watermark</th><th scope="col" class="num">Behind the furthest</th><th scope="col" class="num">Records not read</th><th scope="col">State</th></tr></thead><tbody>${rows.map(x => html`<tr><th scope="row">${x.topic} ${x.partition}</th><td>${w.time(x.watermark, true)}</td><td class="num">${x.watermark ? w.span(furthest - Date.parse(x.watermark)) : w.NONE}</td><td class="num">${w.count(x.lag)}</td><td>${x.isSlowest ? html`<${Tag} tone=${x.lag > 0 ? 'warn' : 'none'} icon=${x.lag > 0 ? 'warn' : 'none'}>the slowest: T waits for it<//>` : x.isIdle ? 'idle: T does not wait for it' : x.isOther ? 'another instance reads it' : ''}</td></tr>`)}</tbody></table><//>`;
  }
  if (!m) return html`<p class="quiet loading" role="status">Loading …</p>`;
  return html`<${Box} title="No partitions of Kafka">This process reads none (a demo, or <code>serve</code>), or has none assigned yet. If T stands still: a partition without new records holds it until the broker confirms its end and <code>input.idle_timeout</code> (30 s) has passed; the log names it.<//>`;
}
