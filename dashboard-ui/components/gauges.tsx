/** Small bars beside an answer. Their positions are geometry; the numbers stand in words. */

const WIDTH = 88;
const HEIGHT = 12;
/** The delta gauge shows one per cent of gross to each side. */
const DELTA_FULL_SCALE = 0.01;
const WARN_AT = 0.85;
/** The limit gauge leaves room beyond the limit, to show by how much it is broken. */
const LIMIT_FULL_SCALE = 1.1;

export function DeltaGauge({ share }: { share: string }) {
  const offset = Math.max(-1, Math.min(1, Number(share) / DELTA_FULL_SCALE));
  const middle = WIDTH / 2;
  return (
    <Gauge label="Net delta on a scale of 1 % of gross to each side">
      <Track />
      <rect x={0} y={1} width={1.5} height={10} fill="var(--text-3)" />
      <rect x={WIDTH - 1.5} y={1} width={1.5} height={10} fill="var(--text-3)" />
      <rect x={middle - 0.5} y={2} width={1} height={8} fill="var(--line-strong)" />
      <circle cx={middle + offset * (middle - 6)} cy={6} r={3.5} fill="var(--text)" />
    </Gauge>
  );
}

export function LimitGauge({ share }: { share: string }) {
  const used = Math.max(0, Number(share));
  const at = (value: number) => (Math.min(value, LIMIT_FULL_SCALE) / LIMIT_FULL_SCALE) * WIDTH;
  return (
    <Gauge label="Share of the limit in use">
      <Track />
      <rect x={0} y={4} width={at(used)} height={4} rx={2} fill={limitColour(used)} />
      <rect x={at(WARN_AT)} y={1} width={1.5} height={10} fill="var(--warn)" />
      <rect x={at(1)} y={1} width={1.5} height={10} fill="var(--crit)" />
    </Gauge>
  );
}

function limitColour(used: number): string {
  if (used >= 1) return "var(--crit)";
  return used >= WARN_AT ? "var(--warn)" : "var(--text-2)";
}

function Gauge({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      className="h-3 w-14 tablet:w-[88px]"
    >
      {children}
    </svg>
  );
}

const Track = () => <rect x={0} y={4} width={WIDTH} height={4} rx={2} fill="var(--track)" />;
