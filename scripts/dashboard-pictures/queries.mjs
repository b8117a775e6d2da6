// Asks Prometheus what the panels of a dashboard ask, as Grafana would, and writes dashboard and answers as a script for page.tsx:
//
//   node queries.mjs PROMETHEUS_URL DASHBOARD.json DATA.js
//
// It prints width and height of the picture; panels without data are named on stderr.
import { readFileSync, writeFileSync } from "node:fs";

const [prometheus, file, output] = process.argv.slice(2);
const minutes = Number(process.env.MINUTES || 15);
const scrape = Number(process.env.SCRAPE_SECONDS || 15);
const to = Math.floor(Number(process.env.END || Date.now() / 1000) / scrape) * scrape;
const from = to - minutes * 60;
const dashboard = JSON.parse(readFileSync(file, "utf8"));
const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
// In pixels. A long picture is narrower, or it takes too many bytes.
const width = Number(process.env.WIDTH || (rows > 50 ? 1200 : 1400));
const variables = Object.fromEntries(dashboard.templating.list.map((variable) => [variable.name, valueOf(variable)]));

function valueOf({ name, includeAll, allValue, current }) {
  if (name === "datasource") return "prometheus";
  const value = current?.value;
  if (includeAll && (value === undefined || value === "$__all")) return allValue ?? ".*";
  if (value === undefined) throw new Error(`the variable ${name} has no value`);
  return [value].flat().join("|");
}

/** A point for each pixel at most, and no more than there are scrapes. */
function stepOf(panel) {
  const pixels = Math.max(1, Math.floor((width * panel.gridPos.w) / 24));
  return Math.max(scrape, Math.ceil((to - from) / pixels));
}

function interpolate(text, step) {
  const values = {
    ...variables,
    __interval: `${step}s`,
    __rate_interval: `${Math.max(step + scrape, 4 * scrape)}s`,
    __range: `${to - from}s`,
  };
  return text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, plain) => {
    const name = braced ?? plain;
    if (!(name in values)) throw new Error(`${file}: no value for ${whole}`);
    return values[name];
  });
}

async function ask(target, step) {
  const instant = Boolean(target.instant);
  const when = instant ? { time: to } : { start: from, end: to, step };
  const query = new URLSearchParams({ query: interpolate(target.expr, step), ...when });
  const url = `${prometheus.replace(/\/$/, "")}/api/v1/${instant ? "query" : "query_range"}?${query}`;
  const answer = await (await fetch(url)).json();
  if (answer.status !== "success") throw new Error(`${target.expr}: ${answer.error}`);
  return answer.data.result;
}

const answers = {};
for (const panel of dashboard.panels) {
  const step = stepOf(panel);
  const targets = (panel.targets ?? []).filter((target) => !target.hide);
  const results = await Promise.all(targets.map((target) => ask(target, step)));
  answers[panel.id] = { step, targets: targets.map((target, index) => ({ target, result: results[index] })) };
  targets.forEach((target, index) => {
    if (results[index].length > 0) return;
    const whole = results.every((result) => result.length === 0);
    console.error(`${whole ? "no data" : "in part"}: ${dashboard.title}: ${panel.title}, query ${target.refId}`);
  });
}
// Grafana's grid has rows of 30 pixels and gaps of 8.
const header = 56;
const row = 38;
const height = header + row * rows;
writeFileSync(output, `window.picture = ${JSON.stringify({ dashboard, answers, from, to, width, height, header, row })};`);
console.log(`${width},${height}`);
