// The tally of tally.py for Node, which has no memory maps: records gather in a buffer
// that is written to the same kind of file at most FLUSH_MS later. No timer runs when idle.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const RECORDS = Number(process.env.BENCH_TALLY_RECORDS || 1000000);
const RECORD_BYTES = 16;
const BLOCK = 4096;
const FLUSH_MS = 3;

const words = new BigUint64Array(2 * BLOCK);
let file = null;
let base = 0; // records written in earlier blocks
let filled = 0; // records in this block
let flushed = 0; // of them on file
let timer = null;

function started(number) {
  append(number * 2);
}

function ended(number) {
  append(number * 2 + 1);
}

function append(code) {
  words[2 * filled] = BigInt(code);
  words[2 * filled + 1] = process.hrtime.bigint(); // CLOCK_MONOTONIC
  filled += 1;
  if (filled === BLOCK) flush();
  else if (timer === null) timer = setTimeout(flush, FLUSH_MS);
}

// Called by itself before a task that may be killed.
function flush() {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  if (file === null) {
    file = fs.openSync(path.join(process.env.BENCH_TALLY, `${process.pid}.lane`), "w+");
    fs.ftruncateSync(file, RECORDS * RECORD_BYTES);
  }
  const bytes = Buffer.from(words.buffer, flushed * RECORD_BYTES, (filled - flushed) * RECORD_BYTES);
  fs.writeSync(file, bytes, 0, bytes.length, (base + flushed) * RECORD_BYTES);
  flushed = filled;
  if (filled === BLOCK) {
    base += BLOCK;
    filled = flushed = 0;
  }
}

module.exports = { started, ended, flush };
