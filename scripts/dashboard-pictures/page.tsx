// Draws window.picture, which queries.mjs wrote, by Grafana's own components.
import {
  applyFieldOverrides,
  createTheme,
  dateTime,
  EventBusSrv,
  FieldConfigOptionsRegistry,
  FieldType,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  identityOverrideProcessor,
  standardTransformers,
  standardTransformersRegistry,
  ThemeContext,
  transformDataFrame,
  VizOrientation,
  type DataFrame,
  type Field,
  type FieldConfigSource,
  type FieldDisplay,
} from "@grafana/data";
import { LegendDisplayMode, type VizLegendOptions } from "@grafana/schema";
import {
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  GlobalStyles,
  InlineField,
  Input,
  PanelChrome,
  PanelContextProvider,
  TimeSeries,
  VizRepeater,
} from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";

interface Target {
  refId: string;
  legendFormat?: string;
  format?: string;
}
interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig: FieldConfigSource;
  options?: Record<string, any>;
  transformations?: Array<{ id: string; options: object }>;
}
interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}
interface Answer {
  step: number;
  targets: Array<{ target: Target; result: Series[] }>;
}
interface Variable {
  name: string;
  label?: string;
  includeAll?: boolean;
  current?: { text: string };
}
interface Picture {
  dashboard: { title: string; templating: { list: Variable[] }; panels: Panel[] };
  answers: Record<number, Answer>;
  from: number;
  to: number;
  width: number;
  height: number;
  header: number;
  row: number;
}

const { dashboard, answers, from, to, width, height, header, row } = (window as unknown as { picture: Picture }).picture;
const theme = createTheme({ colors: { mode: location.hash === "#light" ? "light" : "dark" } });
const timeZone = "utc";
const range = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
const timeRange = { ...range, raw: range };

// What Grafana's plugins for these panels presume where a dashboard is silent. They aren't on npm.
const thresholds = {
  mode: "absolute",
  steps: [
    { value: -Infinity, color: "green" },
    { value: 80, color: "red" },
  ],
};
const PRESUMED: Record<string, { field: object; custom: object; options: object }> = {
  timeseries: {
    field: { color: { mode: "palette-classic" } },
    custom: {
      drawStyle: "line",
      lineInterpolation: "linear",
      lineWidth: 1,
      fillOpacity: 0,
      gradientMode: "none",
      spanNulls: false,
      showPoints: "auto",
      pointSize: 5,
      stacking: { mode: "none", group: "A" },
      axisPlacement: "auto",
      scaleDistribution: { type: "linear" },
      hideFrom: { viz: false, legend: false, tooltip: false },
      thresholdsStyle: { mode: "off" },
    },
    options: { legend: { showLegend: true, displayMode: LegendDisplayMode.List, placement: "bottom", calcs: [] } },
  },
  stat: {
    field: { color: { mode: "thresholds" } },
    custom: {},
    options: {
      colorMode: BigValueColorMode.Value,
      graphMode: BigValueGraphMode.Area,
      justifyMode: BigValueJustifyMode.Auto,
      textMode: BigValueTextMode.Auto,
      orientation: VizOrientation.Auto,
      wideLayout: true,
      reduceOptions: { values: false, calcs: ["lastNotNull"], fields: "" },
    },
  },
  table: {
    field: { color: { mode: "thresholds" } },
    custom: { align: "auto", cellOptions: { type: "auto" }, inspect: false },
    options: { showHeader: true, cellHeight: "sm" },
  },
};

const NOT_CUSTOM = ["unit", "min", "max", "decimals", "displayName", "noValue", "thresholds", "mappings", "links", "color"];

/** The properties of fields that dashboards may set. Each is taken as it stands. */
function registryOf(custom: object): FieldConfigOptionsRegistry {
  const item = (id: string, path: string, isCustom: boolean) => ({
    id,
    path,
    isCustom,
    name: id,
    editor: () => null,
    override: () => null,
    process: identityOverrideProcessor,
    shouldApply: (field: Field) => field.type !== FieldType.time || !isCustom,
  });
  const standard = NOT_CUSTOM.map((id) => item(id, id, false));
  const own = Object.keys(custom).map((key) => item(`custom.${key}`, key, true));
  const registry = new FieldConfigOptionsRegistry();
  registry.setInit(() => [...standard, ...own]);
  return registry;
}

function legendOf(target: Target, { metric: { __name__: name = "", ...labels } }: Series): string {
  if (target.legendFormat) {
    return target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? "");
  }
  return `${name}{${Object.entries(labels).map(([label, value]) => `${label}="${value}"`).join(", ")}}`;
}

/** As Grafana's data source for Prometheus makes frames: one a series, or one table. */
function framesOf({ targets, step }: Answer): DataFrame[] {
  const field = (name: string, type: FieldType, values: unknown[], config = {}): Field => ({ name, type, values, config });
  return targets.flatMap(({ target, result }) => {
    if (target.format === "table") {
      const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
      const fields = [
        field("Time", FieldType.time, result.map(({ value }) => value![0] * 1000)),
        ...labels.map((label) => field(label, FieldType.string, result.map(({ metric }) => metric[label] ?? ""))),
        field("Value", FieldType.number, result.map(({ value }) => Number(value![1]))),
      ];
      return result.length > 0 ? [{ refId: target.refId, fields, length: result.length }] : [];
    }
    return result.map((series) => {
      const points = series.values ?? [series.value!];
      // A quotient with nothing below the line has no value.
      const numbers = points.map(([, value]) => (value === "NaN" ? null : Number(value)));
      const fields = [
        field("Time", FieldType.time, points.map(([time]) => time * 1000), { interval: step * 1000 }),
        {
          ...field("Value", FieldType.number, numbers, { displayNameFromDS: legendOf(target, series) }),
          labels: series.metric,
        },
      ];
      return { refId: target.refId, fields, length: points.length };
    });
  });
}

async function dataOf(panel: Panel): Promise<DataFrame[]> {
  const presumed = PRESUMED[panel.type];
  if (!presumed) throw new Error(`${panel.title}: no panel of type ${panel.type} is known here`);
  const given = panel.fieldConfig;
  const custom = { ...presumed.custom, ...given.defaults.custom };
  const fieldConfig = { ...given, defaults: { thresholds, ...presumed.field, ...given.defaults, custom } as object };
  const frames = framesOf(answers[panel.id]);
  const transformed = await new Promise<DataFrame[]>((resolve, reject) =>
    transformDataFrame(panel.transformations ?? [], frames).subscribe({ next: resolve, error: reject }),
  );
  const replaceVariables = (text: string) => text;
  const fieldConfigRegistry = registryOf(custom);
  return applyFieldOverrides({ data: transformed, fieldConfig, fieldConfigRegistry, replaceVariables, theme, timeZone });
}

function Stat({ data, options, ...size }: { data: DataFrame[]; options: any; width: number; height: number }) {
  const values = () =>
    getFieldDisplayValues({
      data,
      theme,
      timeZone,
      reduceOptions: options.reduceOptions,
      fieldConfig: { defaults: {}, overrides: [] },
      replaceVariables: (text) => text,
      sparkline: options.graphMode !== BigValueGraphMode.None,
    });
  return (
    <VizRepeater
      {...size}
      source={data}
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderCounter={1}
      autoGrid
      orientation={options.orientation}
      renderValue={({ value, alignmentFactors, width, height, count }) => (
        <BigValue
          {...{ value: value.display, sparkline: spark(value), alignmentFactors, width, height, count, theme }}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          disableWideLayout={!options.wideLayout}
        />
      )}
    />
  );
}

function spark({ sparkline }: FieldDisplay) {
  return sparkline && { ...sparkline, timeRange };
}

function Content({ panel, data, ...size }: { panel: Panel; data: DataFrame[]; width: number; height: number }) {
  const options: Record<string, any> = { ...PRESUMED[panel.type].options, ...panel.options };
  if (data.length === 0) {
    const centred = { ...size, display: "grid", placeItems: "center", color: theme.colors.text.secondary };
    return <div style={{ ...centred, fontSize: theme.typography.h3.fontSize }}>No data</div>;
  }
  switch (panel.type) {
    case "timeseries":
      return <TimeSeries frames={data} legend={options.legend as VizLegendOptions} {...{ timeRange, timeZone }} {...size} />;
    case "stat":
      return <Stat data={data} options={options} {...size} />;
    default:
      return <TableNG data={data[0]} noHeader={!options.showHeader} cellHeight={options.cellHeight} {...size} />;
  }
}

const GAP = 8;
const COLUMN = (width - GAP) / 24;

function At({ panel, children }: { panel: Panel; children: (width: number, height: number) => ReactNode }) {
  const { x, y, w, h } = panel.gridPos;
  const size = { width: Math.floor(w * COLUMN) - GAP, height: h * row - GAP };
  const style = { ...size, position: "absolute", left: GAP + Math.floor(x * COLUMN), top: header + y * row } as const;
  return <div style={style}>{children(size.width, size.height)}</div>;
}

function Dashboard({ data }: { data: Map<Panel, DataFrame[]> }) {
  const bar = { display: "flex", alignItems: "center", gap: 16, height: header, padding: `0 ${GAP * 2}px` };
  const shown = ({ name, current }: Variable) => (name === "datasource" ? "Prometheus" : (current?.text ?? ""));
  return (
    <div style={{ position: "relative", width, height }}>
      <div style={bar}>
        <h1 style={{ ...(theme.typography.h4 as object), margin: 0, flexGrow: 1 }}>{dashboard.title}</h1>
        {dashboard.templating.list.map((variable) => (
          <InlineField key={variable.name} label={variable.label ?? variable.name} style={{ margin: 0 }}>
            <Input value={shown(variable)} readOnly width={16} />
          </InlineField>
        ))}
      </div>
      {[...data].map(([panel, frames]) => (
        <At key={panel.id} panel={panel}>
          {(width, height) => (
            <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
              {(width, height) => <Content {...{ panel, width, height }} data={frames} />}
            </PanelChrome>
          )}
        </At>
      ))}
    </div>
  );
}

async function draw() {
  // Some of them go by two names.
  const transformers = new Map(Object.values(standardTransformers).map((transformer) => [transformer.id, transformer]));
  const item = (transformer: any) => ({ ...transformer, transformation: async () => transformer });
  standardTransformersRegistry.setInit(() => [...transformers.values()].map(item));
  const data = new Map<Panel, DataFrame[]>();
  for (const panel of dashboard.panels) data.set(panel, await dataOf(panel));
  const context: any = { eventsScope: "picture", eventBus: new EventBusSrv() };
  const page = (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={context}>
        <Dashboard data={data} />
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
  // Canvases are drawn with the fonts that are there.
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  createRoot(document.getElementById("picture")!).render(page);
}

draw();
