// Reads texts as JSON from standard input; writes the tokens of each.
import fs from "node:fs";
const [page, vocabulary] = process.argv.slice(2);
const { Tokenizer } = await import(`${page}/tokenizer.js`);
const tokenizer = new Tokenizer(JSON.parse(fs.readFileSync(vocabulary, "utf8")));
const texts = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(texts.map((text) => tokenizer.encode(text))));
