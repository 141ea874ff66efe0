/**
 * Numbers as people read them.
 */
const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** 1234 as "1,234". */
export function count(number) {
  return Math.round(number).toLocaleString("en");
}

/** Bytes in powers of a thousand, as file managers and model cards have them. */
export function bytes(number) {
  const step = Math.min(Math.floor(Math.log10(Math.max(number, 1)) / 3), UNITS.length - 1);
  const value = number / 1000 ** step;
  return `${value >= 100 || step === 0 ? Math.round(value) : value.toPrecision(2)} ${UNITS[step]}`;
}

/** A share of 1 as whole percent. */
export function percent(share) {
  return `${Math.floor(Math.min(Math.max(share, 0), 1) * 100)} %`;
}

/** Milliseconds: "38 ms" or "1.2 s". */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** Tokens per second. */
export function speed(tokensPerSecond) {
  return `${tokensPerSecond < 10 ? tokensPerSecond.toFixed(1) : count(tokensPerSecond)} tok/s`;
}

/** A context length: 8192 as "8k". */
export function context(tokens) {
  return tokens < 1024 ? count(tokens) : `${Math.round(tokens / 1024)}k`;
}

/** 1 as "1st". */
export function ordinal(number) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return number + ending[new Intl.PluralRules("en", { type: "ordinal" }).select(number)];
}
