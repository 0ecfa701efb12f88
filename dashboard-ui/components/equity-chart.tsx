"use client";

import { useMemo, useState } from "react";
import { useWidth } from "@/hooks/use-width";
import type { Schemas } from "@/lib/api";
import {
  type Domain,
  domainWithZero,
  nearest,
  scaleOf,
  thinned,
  tickPlaces,
  ticksIn,
  timeTicks,
} from "@/lib/chart";
import { toPixelsInput } from "@/lib/decimal";
import { amount } from "@/lib/format";
import { clock, day, instant } from "@/lib/time";

type EquityView = Schemas["EquityView"];
type Point = EquityView["points"][number];
type Settlement = EquityView["settlements"][number];

const AXIS_WIDTH = 58;
const LINE = { top: 12, bottom: 236 };
const BARS = { top: 256, bottom: 330 };
const HEIGHT = 352;
const DAY_MS = 86_400_000;

interface ChartProps {
  points: Point[];
  settlements: Settlement[];
  now: string | null;
}

/** Net PnL and funding as lines, each settlement as a bar below, on one time axis. */
export function EquityChart(props: ChartProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [chosen, setChosen] = useState<number | null>(null);
  const geometry = useMemo(() => geometryOf(props, width), [props, width]);
  const index = chosen === null ? null : Math.min(chosen, props.points.length - 1);
  const move = (by: number) =>
    setChosen(
      Math.max(0, Math.min(props.points.length - 1, (index ?? props.points.length - 1) + by)),
    );
  return (
    <div className="px-3.5 pb-2">
      <ReadOut point={props.points[index ?? props.points.length - 1]} now={props.now} />
      <div
        ref={ref}
        role="slider"
        tabIndex={0}
        aria-label={labelOf(props)}
        aria-valuemin={0}
        aria-valuemax={props.points.length - 1}
        aria-valuenow={index ?? props.points.length - 1}
        aria-valuetext={spokenPoint(props.points[index ?? props.points.length - 1], props.now)}
        onPointerMove={(event) => setChosen(pointAt(event, geometry.places))}
        onPointerLeave={() => setChosen(null)}
        onBlur={() => setChosen(null)}
        onKeyDown={(event) => {
          if (event.key === "ArrowLeft") move(-1);
          else if (event.key === "ArrowRight") move(1);
          else return;
          event.preventDefault();
        }}
      >
        {width > 0 && <Drawing {...props} width={width} geometry={geometry} chosen={index} />}
      </div>
    </div>
  );
}

interface Geometry {
  time: Domain;
  money: Domain;
  funding: Domain;
  right: number;
  places: number[];
  x: (value: number) => number;
  y: (value: number) => number;
  bar: (value: number) => number;
}

function geometryOf({ points, settlements }: ChartProps, width: number): Geometry {
  const right = Math.max(1, width - AXIS_WIDTH);
  const times = points.map(({ at }) => Date.parse(at));
  const time = { low: times[0] ?? 0, high: times.at(-1) ?? 1 };
  const money = domainWithZero(
    points.flatMap((point) => [toPixelsInput(point.net_usdt), toPixelsInput(point.funding_usdt)]),
  );
  const funding = domainWithZero(settlements.map((one) => toPixelsInput(one.funding_usdt)));
  const x = scaleOf(time, 0, right - 6);
  return {
    time,
    money,
    funding,
    right,
    places: times.map(x),
    x,
    y: scaleOf(money, LINE.bottom, LINE.top),
    bar: scaleOf(funding, BARS.bottom, BARS.top),
  };
}

interface DrawingProps extends ChartProps {
  width: number;
  geometry: Geometry;
  chosen: number | null;
}

function Drawing({ points, settlements, now, width, geometry, chosen }: DrawingProps) {
  const { right, places } = geometry;
  return (
    <svg width={width} height={HEIGHT} aria-hidden="true" className="block">
      <ValueAxis domain={geometry.money} y={geometry.y} right={right} wanted={4} />
      <ValueAxis domain={geometry.funding} y={geometry.bar} right={right} wanted={2} />
      <TimeAxis geometry={geometry} now={now} />
      <Lines points={points} geometry={geometry} />
      <Bars settlements={settlements} geometry={geometry} />
      {chosen !== null && (
        <line
          x1={places[chosen]}
          x2={places[chosen]}
          y1={LINE.top}
          y2={BARS.bottom}
          stroke="var(--field)"
        />
      )}
      <LastValue point={points.at(-1)} geometry={geometry} />
    </svg>
  );
}

function Lines({ points, geometry }: { points: Point[]; geometry: Geometry }) {
  const { x, y, right } = geometry;
  const path = (field: "net_usdt" | "funding_usdt") =>
    thinned(points, (point) => toPixelsInput(point[field]), 2 * right)
      .map((point) => `${fixed(x(Date.parse(point.at)))},${fixed(y(toPixelsInput(point[field])))}`)
      .join("L");
  const net = path("net_usdt");
  const [first, last] = [fixed(x(geometry.time.low)), fixed(x(geometry.time.high))];
  return (
    <g fill="none">
      <path
        d={`M${first},${fixed(y(0))}L${net}L${last},${fixed(y(0))}Z`}
        fill="var(--text)"
        fillOpacity={0.06}
      />
      <path
        d={`M${path("funding_usdt")}`}
        stroke="var(--gain)"
        strokeDasharray="3 3"
        strokeWidth={1.25}
      />
      <path d={`M${net}`} stroke="var(--text)" strokeWidth={1.75} strokeLinejoin="round" />
    </g>
  );
}

function Bars({ settlements, geometry }: { settlements: Settlement[]; geometry: Geometry }) {
  const { x, bar } = geometry;
  const places = settlements.map(({ at }) => x(Date.parse(at)));
  const gaps = places.slice(1).map((place, index) => place - (places[index] ?? place));
  const width = Math.max(1, Math.min(10, Math.min(...gaps.filter((gap) => gap > 0), 12) * 0.75));
  return (
    <g>
      {settlements.map((one, index) => {
        const value = toPixelsInput(one.funding_usdt);
        const top = Math.min(bar(value), bar(0));
        return (
          <rect
            key={one.at}
            x={fixed(Math.max(0, (places[index] ?? 0) - width / 2))}
            y={fixed(top)}
            width={fixed(width)}
            height={fixed(Math.max(value === 0 ? 0 : 1, Math.abs(bar(value) - bar(0))))}
            fill={value < 0 ? "var(--loss)" : "var(--gain)"}
            fillOpacity={0.85}
          />
        );
      })}
    </g>
  );
}

interface ValueAxisProps {
  domain: Domain;
  y: (value: number) => number;
  right: number;
  wanted: number;
}

function ValueAxis({ domain, y, right, wanted }: ValueAxisProps) {
  const ticks = [...new Set([0, ...ticksIn(domain, wanted)])].sort((a, b) => a - b);
  const places = tickPlaces(ticks);
  return (
    <g className="text-axis" fill="var(--text-3)">
      {ticks.map((tick) => (
        <g key={tick}>
          <line
            x1={0}
            x2={right}
            y1={Math.round(y(tick)) + 0.5}
            y2={Math.round(y(tick)) + 0.5}
            stroke={tick === 0 ? "var(--line-strong)" : "var(--grid)"}
          />
          <text x={right + 8} y={y(tick)} dy="0.32em">
            {amount(tick.toFixed(places), "flow", places)}
          </text>
        </g>
      ))}
    </g>
  );
}

function TimeAxis({ geometry, now }: { geometry: Geometry; now: string | null }) {
  const ticks = timeTicks(geometry.time, Math.max(2, Math.floor(geometry.right / 60)));
  const [first, second] = ticks;
  const hours = first !== undefined && second !== undefined && second - first < DAY_MS;
  return (
    <g className="text-axis" fill="var(--text-3)" textAnchor="middle">
      {ticks.map((tick) => {
        const iso = new Date(tick).toISOString();
        const x = geometry.x(tick);
        if (x < 14 || x > geometry.right - 14) return null;
        return (
          <g key={tick}>
            <line x1={x} x2={x} y1={BARS.bottom} y2={BARS.bottom + 4} stroke="var(--line-strong)" />
            <text x={x} y={HEIGHT - 5}>
              {hours && tick % DAY_MS !== 0 ? clock(iso) : day(iso, now)}
            </text>
          </g>
        );
      })}
    </g>
  );
}

function LastValue({ point, geometry }: { point: Point | undefined; geometry: Geometry }) {
  if (point === undefined) return null;
  const y = geometry.y(toPixelsInput(point.net_usdt));
  const x = geometry.x(geometry.time.high);
  return (
    <g>
      <circle cx={x} cy={y} r={3} fill="var(--text)" />
      <rect
        x={geometry.right + 2}
        y={y - 9}
        width={AXIS_WIDTH - 2}
        height={18}
        rx={3}
        fill="var(--text)"
      />
      <text
        x={geometry.right + 8}
        y={y}
        dy="0.34em"
        fill="var(--surface)"
        className="text-axis font-medium"
      >
        {amount(point.net_usdt, "flow", wholeOnly(point.net_usdt) ? 0 : 2)}
      </text>
    </g>
  );
}

function ReadOut({ point, now }: { point: Point | undefined; now: string | null }) {
  if (point === undefined) return null;
  return (
    <p className="flex flex-wrap gap-x-4 pb-1 text-label text-fg-3" aria-live="off">
      <span>{instant(point.at, now)} UTC</span>
      <span>
        net <span className="text-fg">{amount(point.net_usdt, "flow")}</span>
      </span>
      <span>
        funding <span className="text-fg-2">{amount(point.funding_usdt, "flow")}</span>
      </span>
      <span>
        equity <span className="text-fg-2">{amount(point.equity_usdt)}</span>
      </span>
    </p>
  );
}

function labelOf({ points, settlements, now }: ChartProps): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return "No equity yet";
  return (
    `Net PnL ${amount(last.net_usdt, "flow")} USDT and funding ${amount(last.funding_usdt, "flow")} USDT ` +
    `from ${instant(first.at, now)} to ${instant(last.at, now)}, ${settlements.length} settlements.`
  );
}

function spokenPoint(point: Point | undefined, now: string | null): string {
  if (point === undefined) return "";
  return `${instant(point.at, now)}: net ${amount(point.net_usdt, "flow")} USDT`;
}

function pointAt(event: React.PointerEvent<HTMLElement>, places: readonly number[]): number {
  return nearest(places, event.clientX - event.currentTarget.getBoundingClientRect().left);
}

// From a thousand on the chip has room for whole numbers only.
const wholeOnly = (value: string) => Math.abs(toPixelsInput(value)) >= 1000;

const fixed = (value: number) => Number(value.toFixed(1));
