// SLI, budget and the rate of events over time, from the hourly history.
import { useEffect, useRef, useState } from './vendor/hooks.mjs';
import { useApi } from './data.js';
import * as w from './words.js';
import { Box, Loaded, Scroll, html } from './parts.js';
import { Periods, chosen, select } from './compare.js';

const assets = document.querySelector('meta[name=assets]').content;
let library = null;
/** Loaded with the first chart: the overview does without. */
function uplot() {
  return library ??= new Promise((done, fail) => {
    const script = document.createElement('script');
    script.src = `${assets}/vendor/uPlot.iife.min.js`;
    script.onload = () => done(globalThis.uPlot);
    script.onerror = () => { library = null; fail(new Error('the chart library did not load')); };
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = `${assets}/vendor/uPlot.min.css`;
    // Before ours, which changes some of it.
    document.head.prepend(style);
    document.head.append(script);
  });
}
const RANGES = [['1d', 24], ['3d', 72], ['7d', 168], ['28d', 672], ['all', Infinity]];
/** A colour of the theme as canvases understand it. */
function css(name) {
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
const tick = s => { const at = new Date(s * 1000).toISOString(); return at.slice(11, 16) === '00:00' ? w.day(at) : at.slice(11, 16); };

export function History({ s, id, alerts, cohorts, query }) {
  const [range, choose] = useState('7d');
  const of = useApi(`/api/v1/history?key=${encodeURIComponent(id)}`, { isSlow: true });
  const all = (of.data?.items ?? []).filter(i => i && i.at);
  const items = all.slice(-RANGES.find(r => r[0] === range)[1]);
  return html`<${Loaded} of=${of} what="The history" path="/api/v1/history">
    ${all.length < 2 ? html`<${Box} title="Not enough history yet">One record is kept at every full hour; two make a line.<//>` : html`
    <div class="tabs" role="group" aria-label="Range">${RANGES.filter(([k, n]) => k === 'all' || n / 2 < all.length).map(([k]) => html`<button type="button" class="chip" aria-pressed=${k === range} onClick=${() => choose(k)}>${k}</button>`)}</div>
    <${Charts} items=${items} s=${s} alerts=${alerts} spans=${chosen(query)} />
    <${Periods} items=${all} s=${s} alerts=${alerts} cohorts=${cohorts} query=${query} />
    <details class="more"><summary>As a table</summary><${Scroll} label="History" class="short"><table class="tight"><thead><tr><th scope="col">Hour until</th><th scope="col" class="num">SLI, hour</th><th scope="col" class="num">SLI, ${s.compliance_window}</th><th scope="col" class="num">Budget left</th><th scope="col" class="num">Events</th><th scope="col" class="num">Bad</th></tr></thead>
      <tbody>${[...items].reverse().slice(0, 200).map(i => html`<tr><th scope="row">${w.day(i.at)}, ${i.at.slice(11, 16)}</th><td class="num">${w.pct(hourly(i))}</td><td class="num">${w.pct(i.sli)}</td><td class="num">${w.pct(i.budget_remaining)}</td><td class="num">${w.short(i.good + i.bad)}</td><td class="num">${w.short(i.bad)}</td></tr>`)}</tbody></table><//></details>`}<//>`;
}
const hourly = i => (i.good + i.bad > 0 ? i.good / (i.good + i.bad) : null);

function Charts({ items, s, alerts, spans }) {
  const at = items.map(i => Date.parse(i.at) / 1000), last = items.at(-1);
  const worst = Math.min(...items.map(hourly).filter(x => x !== null));
  const marks = alerts.filter(a => a.severity === 'page' || a.severity === 'ticket').map(a => [Date.parse(a.started_at) / 1000, a.ended_at ? Date.parse(a.ended_at) / 1000 : at.at(-1), a.severity]);
  const percent = x => x === null || x === undefined ? w.NONE : w.pct(x / 100);
  return html`
    <p class="quiet">Drag over a chart to choose a period, and with Shift a second one to compare it with.</p>
    <${Plot} spans=${spans} height=${170} label=${`SLI of each hour and of ${s.compliance_window}; now ${w.pct(last.sli)}, worst hour ${w.pct(worst)}`} marks=${marks} limit=${s.objective * 100}
      data=${[at, items.map(i => hourly(i) === null ? null : hourly(i) * 100), items.map(i => i.sli === null ? null : i.sli * 100)]}
      series=${[{ label: 'SLI, each hour', stroke: '--soft', width: 1.2, value: (u, v) => percent(v) }, { label: `SLI, ${s.compliance_window}`, stroke: '--accent', width: 2, value: (u, v) => percent(v) }]} unit=" %" />
    <${Plot} spans=${spans} height=${120} label=${`Budget left; now ${w.pct(last.budget_remaining)}`} marks=${marks} limit=${0} data=${[at, items.map(i => i.budget_remaining === null ? null : i.budget_remaining * 100)]}
      series=${[{ label: 'Budget left', stroke: '--accent', width: 2, fill: '--accent-soft', value: (u, v) => percent(v) }]} unit=" %" />
    <${Plot} spans=${spans} height=${100} label="Events an hour" marks=${[]} data=${[at, items.map(i => i.good + i.bad)]}
      series=${[{ label: 'Events an hour', stroke: '--muted', width: 1.2, fill: '--line-soft', value: (u, v) => w.short(v) }]} unit="" isCount=${true} />
    <p class="quiet legend"><span class="limit">objective, or no budget left</span><span class="mark bad">page</span><span class="mark warn">ticket</span>${spans.a && html`<span class="span-a">period A</span>`}${spans.b && html`<span class="span-b">period B</span>`}</p>`;
}

/** One chart. Colours are names of variables, so that a change of theme draws it again. */
function Plot({ data, series, label, height, marks, spans, limit = null, unit, isCount = false }) {
  const el = useRef(null), plot = useRef(null), [theme, again] = useState(0), [error, fail] = useState(null);
  useEffect(() => {
    const f = () => again(n => n + 1), dark = matchMedia('(prefers-color-scheme: dark)');
    addEventListener('themechange', f);
    dark.addEventListener('change', f);
    return () => { removeEventListener('themechange', f); dark.removeEventListener('change', f); };
  }, []);
  useEffect(() => {
    let isGone = false, watch = null;
    uplot().then(UPlot => {
      if (isGone || !el.current) return;
      const axis = { stroke: css('--muted'), grid: { stroke: css('--line-soft'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
      const draw = u => {
        const { ctx, bbox } = u, y = limit === null ? 0 : u.valToPos(limit, 'y', true);
        ctx.save();
        for (const [span, color] of [[spans.a, '--accent'], [spans.b, '--ok']]) {
          if (!span) continue;
          const a = Math.max(bbox.left, u.valToPos(span[0], 'x', true)), b = Math.min(bbox.left + bbox.width, u.valToPos(span[1], 'x', true));
          if (b <= a) continue;
          ctx.globalAlpha = 0.16;
          ctx.fillStyle = css(color);
          ctx.fillRect(a, bbox.top, b - a, bbox.height);
          ctx.globalAlpha = 1;
        }
        for (const [from, to, severity] of marks) {
          const a = Math.max(bbox.left, u.valToPos(from, 'x', true)), b = Math.min(bbox.left + bbox.width, u.valToPos(to, 'x', true));
          if (b < bbox.left || a > bbox.left + bbox.width) continue;
          ctx.fillStyle = css(severity === 'page' ? '--bad' : '--warn');
          ctx.fillRect(a, bbox.top, Math.max(2, b - a), 4 * devicePixelRatio);
        }
        if (limit !== null && y >= bbox.top && y <= bbox.top + bbox.height) {
          ctx.strokeStyle = css('--bad');
          ctx.lineWidth = devicePixelRatio;
          ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
          ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
        }
        ctx.restore();
      };
      plot.current = new UPlot({
        width: el.current.clientWidth, height, padding: [8, 18, 0, 0], legend: { live: true }, cursor: { sync: { key: 'time' }, y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false } }, tzDate: ts => UPlot.tzDate(new Date(ts * 1e3), 'Etc/UTC'),
        scales: { y: { range: (u, low, high) => isCount ? [0, (high || 1) * 1.1] : spread(low, high, limit) } },
        axes: [{ ...axis, space: 64, size: 28, values: (u, list) => list.map(tick) }, { ...axis, size: 62, space: 28, values: (u, list) => list.map(v => isCount ? w.short(v) : `${+v.toFixed(3)}${unit}`) }],
        series: [{ label: 'Until', value: (u, v) => v ? new Date(v * 1000).toISOString().slice(0, 16).replace('T', ' ') : w.NONE }, ...series.map(x => ({ ...x, stroke: css(x.stroke), fill: x.fill && css(x.fill), points: { show: false } }))],
        hooks: { draw: [draw], ready: [newest], setSelect: [brushed], setCursor: [u => { if (u.cursor.idx === null || u.cursor.idx === undefined || u.cursor.left < 0) newest(u); }] },
      }, data, el.current);
      watch = new ResizeObserver(() => { if (el.current && plot.current) plot.current.setSize({ width: el.current.clientWidth, height }); });
      watch.observe(el.current);
    }).catch(fail);
    return () => { isGone = true; watch?.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [theme, series.length, limit, height, marks.length, `${spans.a}|${spans.b}`]);
  useEffect(() => { plot.current?.setData(data); if (plot.current) newest(plot.current); }, [data[0].length, data[0].at(-1), data[0][0]]);
  return html`<figure class="plot"><figcaption class="hide">${label}</figcaption><div ref=${el} role="img" aria-label=${label}></div>${error && html`<p class="warn">${error.message}</p>`}</figure>`;
}
/** A span was dragged over; the charts beside it say the same one. */
function brushed(u) {
  if (u.select.width < 4) return;
  const [from, to] = [u.select.left, u.select.left + u.select.width].map(x => u.posToVal(x, 'x'));
  u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  select(from, to);
}
/** Without a pointer the legend tells the newest values. */
const newest = u => u.setLegend({ idx: u.data[0].length - 1 }, false);
/** The limit stays in sight. */
function spread(low, high, limit) {
  const a = Math.min(low ?? limit ?? 0, limit ?? Infinity), b = Math.max(high ?? limit ?? 1, limit ?? -Infinity), pad = Math.max((b - a) * 0.08, 1e-3);
  return [a - pad, b + pad];
}
