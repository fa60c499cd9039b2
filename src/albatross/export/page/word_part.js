// Which words a text has, as a vector: what albatross/tasks/word_part.py does.

// The piece at this place counts half.
const HALF = 100;
const LEAST_LENGTH = 1e-12;
// SplitMix64's increment and multipliers.
const STEP = 0x9e3779b97f4a7c15n;
const FIRST = 0xbf58476d1ce4e5b9n;
const SECOND = 0x94d049bb133111ebn;
const BITS = 64;

/** The sum of the pieces' signs, each by its weight, of unit length. */
export function wordPart(ids, width) {
  const pieces = ids.length ? ids : [0];
  const count = Math.ceil(width / BITS);
  const summed = new Array(width).fill(0);
  for (const id of pieces) {
    const weight = (id + 1) / (id + 1 + HALF);
    for (let number = 0; number < count; number++) {
      const signs = signsOf(BigInt(id * count + number + 1));
      const most = Math.min(BITS, width - number * BITS);
      for (let at = 0; at < most; at++) summed[number * BITS + at] += signs[at] * weight;
    }
  }
  return ofUnitLength(summed);
}

/** Sixty-four signs drawn from a number: the bits of each byte of the draw, its highest first. */
function signsOf(number) {
  const wrapped = (value) => BigInt.asUintN(BITS, value);
  let state = wrapped(number * STEP);
  state = wrapped((state ^ (state >> 30n)) * FIRST);
  state = wrapped((state ^ (state >> 27n)) * SECOND);
  state ^= state >> 31n;
  const halves = [Number(state & 0xffffffffn), Number(state >> 32n)];
  return Array.from({ length: BITS }, (_, at) => {
    const place = (at & 24) + 7 - (at & 7);
    return ((halves[at >> 5] >>> place) & 1) * 2 - 1;
  });
}

/** A vector divided by its length. */
export function ofUnitLength(vector) {
  const length = Math.max(Math.hypot(...vector), LEAST_LENGTH);
  return vector.map((number) => number / length);
}
