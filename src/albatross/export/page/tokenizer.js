// From a text to the ids of its pieces: what albatross/tokenizer does, with the vocabulary, the
// switches and the tables of characters in `vocabulary.json`.

const WORD_MARK = "▁";
const SPACE_LIKE = /[\s\x1c-\x1f\x85▁\ufffd\u200b\ufeff]/u;

/** ALBERT's normalisation, then SentencePiece's, then the best cut into pieces. */
export class Tokenizer {
  /** @param vocabulary the content of `vocabulary.json`. */
  constructor(vocabulary) {
    this.rules = vocabulary.rules;
    this.ids = vocabulary.ids;
    this.space = new RegExp(`[${vocabulary.spaces}]`, "u");
    this.mark = new RegExp(`[${vocabulary.marks}]`, "gu");
    // What Python's tables do not know stays as it is, whatever the browser's say.
    this.unassigned = new RegExp(`[${vocabulary.unassigned}]`, "u");
    this.endsInComma = new RegExp(`[${vocabulary.digits}],$`, "u");
    this.map = vocabulary.map ? new CharacterMap(vocabulary.map) : null;
    this.pieces = new Map();
    vocabulary.scores.forEach((score, id) => {
      if (score !== null) this.pieces.set(vocabulary.pieces[id], { id, score: Math.fround(score) });
    });
    // Of these the score is no 32-bit number in SentencePiece either.
    this.symbols = [...vocabulary.symbols].sort((a, b) => b.length - a.length);
    for (const text of this.symbols) {
      const piece = this.pieces.get(text);
      if (piece) piece.score = 0.1 * (new TextEncoder().encode(text).length - 1);
    }
    this.longest = Math.max(1, ...[...this.pieces.keys()].map((text) => [...text].length));
    this.unknownScore = Math.fround(vocabulary.unknown_score);
  }

  /** Ids of a text without specials, and where each stands in it: `offsets`, in UTF-16 units. */
  encode(text) {
    const { characters, spans } = this.normalize(text);
    const tokens = this.cut(this.prepared(characters)).flatMap((token) => this.withoutComma(token));
    const starts = utf16Starts(text);
    const offsets = tokens.map((token) => original(token, characters, spans, starts));
    for (let at = 1; at < offsets.length; at++) {
      offsets[at][1] = Math.max(offsets[at][1], offsets[at - 1][1]);
    }
    return { ids: tokens.map((token) => token.id), offsets };
  }

  /** ALBERT's own clean-up: characters, and the span of code points behind each. */
  normalize(text) {
    const source = Array.from(text, (c) => (/\p{Surrogate}/u.test(c) ? "\ufffd" : c));
    const parts = source.map((character) => ({ text: this.rewritten(character), end: 0 }));
    parts.forEach((part, at) => (part.end = at + 1));
    this.giveMarksToBearers(parts);
    this.collapseRuns(source, parts);
    let characters = [];
    const spans = [];
    parts.forEach((part, at) => {
      for (const character of part.text) {
        characters.push(character);
        spans.push([at, part.end]);
      }
    });
    // The last lower-casing sees neighbours: a capital sigma that NFKD has made may end a word.
    if (this.rules.do_lower_case && characters.includes("Σ")) {
      const lowered = [...characters.join("").toLowerCase()];
      characters = characters.map((c, at) => (c === "Σ" ? lowered[at] : c));
    }
    return { characters, spans };
  }

  rewritten(character) {
    let found = character;
    if (this.unassigned.test(character)) return character;
    if (this.rules.do_lower_case) found = found === "Σ" ? "σ" : found.toLowerCase();
    if (!this.rules.keep_accents) found = found.normalize("NFKD").replace(this.mark, "");
    if (!this.rules.do_lower_case) return found;
    // What grows in the last lower-casing grows here; a sigma is left to it.
    return Array.from(found, (c) => (c === "Σ" ? c : c.toLowerCase())).join("");
  }

  giveMarksToBearers(parts) {
    let bearer = -1;
    parts.forEach((part, at) => {
      if (part.text !== "") bearer = at;
      else if (bearer >= 0) parts[bearer].end = at + 1;
    });
  }

  collapseRuns(source, parts) {
    for (let at = 0; at < source.length; at++) {
      let end = at + 1;
      if (this.rules.remove_space && this.space.test(source[at])) {
        while (end < source.length && this.space.test(source[end])) end++;
        parts[at].text = at === 0 || end === source.length ? "" : " ";
      } else if ((source[at] === "`" || source[at] === "'") && source[end] === source[at]) {
        end++;
        parts[at].text = '"';
      } else continue;
      parts[at].end = Math.max(parts[at].end, parts[end - 1].end);
      for (let inner = at + 1; inner < end; inner++) parts[inner].text = "";
      at = end - 1;
    }
  }

  /** SentencePiece's normalisation: `characters`, and the place in the given ones behind each. */
  prepared(given) {
    const [characters, places] = [[], []];
    const { add_dummy_prefix: prefix, remove_extra_whitespaces: collapse } = this.rules;
    let afterSpace = collapse;
    let isLeading = collapse;
    let first = 0;
    for (const { text, start, end } of this.mapped(given)) {
      isLeading &&= text === " ";
      if (isLeading) first = end;
      let rest = [...text];
      while (afterSpace && rest[0] === " ") rest = rest.slice(1);
      for (const character of rest) {
        characters.push(character === " " ? WORD_MARK : character);
        places.push(start);
      }
      if (rest.length) afterSpace = collapse && rest[rest.length - 1] === " ";
    }
    places.push(given.length);
    while (collapse && characters[characters.length - 1] === WORD_MARK) {
      characters.pop();
      places.pop();
    }
    if (prefix && characters.length) {
      characters.unshift(WORD_MARK);
      places.unshift(first);
    }
    return { characters, places };
  }

  /** Chunks of the text as the model's character map rewrites them; symbols stay as they are. */
  *mapped(given) {
    const whole = this.map && new Utf8(given);
    const longestSymbol = this.symbols.length ? this.symbols[0].length : 0;
    for (let at = 0; at < given.length; ) {
      const ahead = given.slice(at, at + longestSymbol).join("");
      const symbol = this.symbols.find((each) => ahead.startsWith(each));
      const known = symbol === undefined && this.map && this.map.longest(whole, at);
      const size = symbol !== undefined ? [...symbol].length : known ? known.size : 1;
      const text = known ? known.text : given.slice(at, at + size).join("");
      yield { text, start: at, end: at + size };
      at += size;
    }
  }

  /** The best cut (Viterbi 1967), in 32-bit sums as SentencePiece makes them. */
  cut({ characters, places }) {
    const best = [{ score: 0, from: -1, id: -1 }];
    for (let start = 0; start < characters.length; start++) {
      const before = best[start].score;
      let text = "";
      let single = false;
      for (let end = start + 1; end <= Math.min(characters.length, start + this.longest); end++) {
        text += characters[end - 1];
        const piece = this.pieces.get(text);
        if (piece === undefined) continue;
        single ||= end === start + 1;
        offer(best, end, Math.fround(before + piece.score), start, piece.id);
      }
      const unknown = Math.fround(before + this.unknownScore);
      if (!single) offer(best, start + 1, unknown, start, this.ids.unk);
    }
    const tokens = [];
    for (let end = characters.length; end > 0; end = best[end].from) {
      const { from, id } = best[end];
      const token = { id, text: characters.slice(from, end).join("") };
      const next = tokens[tokens.length - 1];
      // Unknown characters side by side are one token.
      const joins = next && id === this.ids.unk && next.id === id;
      if (joins) Object.assign(next, { text: token.text + next.text, span: [places[from], next.span[1]] });
      else tokens.push({ ...token, span: [places[from], places[end]] });
    }
    return spread(tokens.reverse());
  }

  /** A piece that ends in a digit and a comma is cut anew without it: `▁2012,` to `▁2012` `,`. */
  withoutComma(token) {
    if (!this.endsInComma.test(token.text)) return [token];
    const digits = token.text.slice(0, -1).replaceAll(WORD_MARK, "");
    let parts = this.cut(this.prepared([...digits])).map((each) => each.text);
    if (parts.length && parts[0].startsWith(WORD_MARK) && !token.text.startsWith(WORD_MARK)) {
      parts = parts[0].length > 1 ? [parts[0].slice(1), ...parts.slice(1)] : parts.slice(1);
    }
    parts.push(",");
    const widths = parts.map((part) => [...part.replaceAll(WORD_MARK, "")].length);
    let rest = widths.reduce((a, b) => a + b, 0);
    const [start, end] = token.span;
    const fits = rest <= end - start;
    return parts.map((text, at) => {
      const span = fits ? [end - rest, end - rest + widths[at]] : [start, end];
      rest -= widths[at];
      const piece = this.pieces.get(text);
      return { id: piece ? piece.id : this.ids.unk, text, span };
    });
  }
}

/** Pieces made of one character share its place, which SentencePiece gives to the last of them. */
function spread(tokens) {
  for (let at = tokens.length - 2; at >= 0; at--) {
    const { text, span } = tokens[at];
    const next = tokens[at + 1].span;
    if (span[0] === span[1] && span[1] === next[0] && text.replaceAll(WORD_MARK, "")) {
      span[1] = next[1];
    }
  }
  return tokens;
}

function offer(best, end, score, from, id) {
  if (best[end] === undefined || score > best[end].score) best[end] = { score, from, id };
}

function utf16Starts(text) {
  const starts = [0];
  for (const character of text) starts.push(starts[starts.length - 1] + character.length);
  return starts;
}

/** A token's span of normalised characters, without the space before it, in the original text. */
function original(token, characters, spans, starts) {
  let [start, end] = token.span;
  const isSpace = (at) => SPACE_LIKE.test(characters[at]);
  let ink = start;
  while (ink < end && isSpace(ink)) ink++;
  if (ink < end) {
    start = ink;
    while (isSpace(end - 1)) end--;
  }
  if (!spans.length) return [0, 0];
  const first = start < spans.length ? spans[start][0] : spans[spans.length - 1][1];
  const last = start === end ? first : spans[end - 1][1];
  return [starts[first], starts[last]];
}

/** Code points as bytes, with the byte at which each begins. */
class Utf8 {
  constructor(characters) {
    this.bytes = new TextEncoder().encode(characters.join(""));
    this.starts = [0];
    for (const c of characters) {
      const code = c.codePointAt(0);
      const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      this.starts.push(this.starts[this.starts.length - 1] + size);
    }
    this.places = new Map(this.starts.map((byte, place) => [byte, place]));
  }
}

/** A SentencePiece model's character map: a double array trie (Aoe 1989) and what it leads to. */
class CharacterMap {
  constructor(base64) {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const size = view.getUint32(0, true);
    this.units = Array.from({ length: size / 4 }, (_, at) => view.getUint32(4 + 4 * at, true));
    this.texts = bytes.subarray(4 + size);
  }

  /** The rule for most characters from a place on: its result, and how many it takes; or none. */
  longest(text, place) {
    let node = this.offset(this.units[0]);
    let found = null;
    for (let at = text.starts[place]; at < text.bytes.length; at++) {
      node ^= text.bytes[at];
      const unit = this.units[node];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== text.bytes[at]) break;
      node ^= this.offset(unit);
      if ((unit >>> 8) & 1) found = { end: at + 1, value: this.units[node] & 0x7fffffff };
    }
    if (found === null) return null;
    const end = this.texts.indexOf(0, found.value);
    const result = new TextDecoder().decode(this.texts.subarray(found.value, end));
    return { text: result, size: text.places.get(found.end) - place };
  }

  offset(unit) {
    return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
  }
}
