/** Texts for numbers. Every function takes null for "not known" and shows a dash for it. */

const DASH = "–";
const known = (value) => value !== null && value !== undefined;

export function number(value, digits = 1) {
  return known(value) ? value.toFixed(digits) : DASH;
}

export function seconds(value, digits = 1) {
  return known(value) ? `${value.toFixed(digits)} s` : DASH;
}

export function percent(ratio, digits = 0) {
  return known(ratio) ? `${(ratio * 100).toFixed(digits)} %` : DASH;
}

export function milliseconds(value) {
  return known(value) ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : DASH;
}

export function megabits(value) {
  return known(value) ? `${value < 10 ? value.toFixed(1) : Math.round(value)} Mbit/s` : DASH;
}

export function bytes(value) {
  if (!known(value)) return DASH;
  let rest = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(rest) < 1000 || unit === "GB") return `${rest.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    rest /= 1000;
  }
  return DASH;
}

export function clock(value) {
  if (!known(value)) return DASH;
  const whole = Math.max(0, Math.floor(value));
  const two = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function timeOfDay(unixSec) {
  return new Date(unixSec * 1000).toLocaleTimeString([], { hour12: false });
}

/** Return numbers as an SVG path over `width` by `height`, empty for fewer than two. */
export function sparkPath(values, width, height, top) {
  if (values.length < 2) return "";
  const most = Math.max(top ?? 0, ...values.map((value) => value ?? 0), 1e-9);
  const step = width / (values.length - 1);
  let pen = "M";
  let path = "";
  values.forEach((value, i) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(i * step).toFixed(1)} ${(height - (value / most) * height).toFixed(1)}`;
    pen = "L";
  });
  return path;
}

export function shortNode(url) {
  return url.replace(/^https?:\/\//, "");
}
