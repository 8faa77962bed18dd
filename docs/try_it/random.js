// Random numbers that a seed determines, and the normal distribution.
"use strict";

/**
 * A function that gives uniform numbers in (0, 1), the same ones for the same seed and stream.
 * The generator is mulberry32 (Tommy Ettinger, public domain).
 */
function uniformNumbers(seed, stream) {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

const polynomial = (coefficients, x) => coefficients.reduceRight((sum, each) => sum * x + each, 0);

const CENTRE = [
  [3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
    45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
  [1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
    39307.895800092710610, 28729.085735721942674, 5226.4952788528545610],
];
const SHOULDER = [
  [1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
    1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833,
    7.74545014278341407640e-4],
  [1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
    0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4,
    1.05075007164441684324e-9],
];
const TAIL = [
  [6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
    0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5,
    2.01033439929228813265e-7],
  [1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
    2.04426310338993978564e-15],
];

/**
 * Quantile of the standard normal distribution.
 * Source: Wichura, algorithm AS 241, Applied Statistics 37 (1988); accurate to 16 digits.
 */
function normalQuantile(uniform) {
  const centred = uniform - 0.5;
  const ratio = ([over, under], x) => polynomial(over, x) / polynomial(under, x);
  if (Math.abs(centred) <= 0.425) return centred * ratio(CENTRE, 0.180625 - centred * centred);
  const root = Math.sqrt(-Math.log(Math.min(uniform, 1 - uniform)));
  const size = root <= 5 ? ratio(SHOULDER, root - 1.6) : ratio(TAIL, root - 5);
  return centred < 0 ? -size : size;
}
