// BullMQ: answers the same commands as peerkit/adapter.py, one line of JSON each.
"use strict";

const path = require("node:path");
const readline = require("node:readline");
const { performance } = require("node:perf_hooks");
const { Job, Queue, QueueEvents, Worker } = require("bullmq");
const tally = require(path.join(__dirname, "..", "..", "kit", "peerkit", "tally.cjs"));

const url = new URL(process.env.BENCH_REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const results = process.env.BENCH_RESULTS === "1";
const safe = process.env.BENCH_SAFE === "1";
const concurrency = Number(process.env.BENCH_CONCURRENCY || 100);
const BULK = 1000;
const PATIENCE_MS = 60000;
const options = { removeOnComplete: !results };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (answer) => console.log(JSON.stringify(answer));
const now = () => Number(process.hrtime.bigint());

function calls(task, n, first) {
  if (task === "add") return Array.from({ length: n }, () => ({ a: 1, b: 2 }));
  if (task.startsWith("nap:")) {
    const seconds = Number(task.split(":")[1]);
    return Array.from({ length: n }, (_, i) => ({ number: first + i, seconds }));
  }
  return Array.from({ length: n }, (_, i) => ({ number: first + i }));
}

const name = (task) => task.split(":")[0];

async function withQueue(work) {
  const queue = new Queue("bench", { connection, defaultJobOptions: options });
  await queue.waitUntilReady();
  try {
    return await work(queue);
  } finally {
    await queue.close();
  }
}

async function addMany(queue, task, data) {
  const jobs = [];
  for (let at = 0; at < data.length; at += BULK) {
    const part = data.slice(at, at + BULK).map((each) => ({ name: name(task), data: each }));
    for (const job of await queue.addBulk(part)) jobs.push(job);
  }
  return jobs;
}

const commands = {
  enqueue_single: (n, task = "mark", first = 0) =>
    withQueue(async (queue) => {
      const data = calls(task, Number(n), Number(first));
      await queue.add(name(task), data[0]);
      const begin = performance.now();
      for (const each of data.slice(1)) await queue.add(name(task), each);
      say({ calls: data.length - 1, seconds: (performance.now() - begin) / 1000 });
    }),

  enqueue_inflight: (n, window = 50, task = "mark", first = 0) =>
    withQueue(async (queue) => {
      const data = calls(task, Number(n), Number(first));
      await queue.add(name(task), data[0]);
      const begin = performance.now();
      let next = 1;
      const lane = async () => {
        while (next < data.length) await queue.add(name(task), data[next++]);
      };
      await Promise.all(Array.from({ length: Number(window) }, lane));
      say({ calls: data.length - 1, seconds: (performance.now() - begin) / 1000 });
    }),

  enqueue_bulk: (n, task = "mark", first = 0) =>
    withQueue(async (queue) => {
      const data = calls(task, Number(n), Number(first));
      await addMany(queue, task, data.slice(0, 1));
      const begin = performance.now();
      await addMany(queue, task, data.slice(1));
      say({ calls: data.length - 1, seconds: (performance.now() - begin) / 1000, how: "bulk call" });
    }),

  latency: (n, gap) =>
    withQueue(async (queue) => {
      await warmUp(queue);
      const submitted = [];
      for (let number = 0; number < Number(n); number++) {
        await sleep(Number(gap));
        submitted.push(now());
        await queue.add("mark", { number });
      }
      say({ submitted });
    }),

  roundtrip: (n) =>
    withQueue(async (queue) => {
      const events = new QueueEvents("bench", { connection });
      await events.waitUntilReady();
      const ms = [];
      let right = 0;
      for (let number = -WARM; number < Number(n); number++) {
        const begin = now();
        const job = await queue.add("double", { number: number < 0 ? UNUSED + number : number });
        const value = await job.waitUntilFinished(events, PATIENCE_MS);
        if (number < 0) continue;
        ms.push((now() - begin) / 1e6);
        right += value === 2 * number ? 1 : 0;
      }
      await events.close();
      say({ ms, right });
    }),

  results: (n) =>
    withQueue(async (queue) => {
      const jobs = await addMany(queue, "double", calls("double", Number(n), 0));
      say({ enqueued: jobs.length });
      const stdin = readline.createInterface({ input: process.stdin });
      await new Promise((resolve) => stdin.once("line", resolve));
      stdin.close();
      const begin = performance.now();
      let right = 0;
      for (let number = 0; number < jobs.length; number++) {
        const job = await Job.fromId(queue, jobs[number].id);
        right += job && job.returnvalue === 2 * number ? 1 : 0;
      }
      say({ right, seconds: (performance.now() - begin) / 1000 });
    }),

  worker: async () => {
    const tasks = {
      mark: async ({ number }) => tally.started(number),
      double: async ({ number }) => {
        tally.started(number);
        return 2 * number;
      },
      nap: async ({ number, seconds }) => {
        tally.started(number);
        if (safe || seconds >= 1) tally.flush();
        await sleep(seconds * 1000);
        tally.ended(number);
      },
      add: async ({ a, b }) => a + b,
    };
    const safety = safe ? { lockDuration: 5000, stalledInterval: 3000, maxStalledCount: 3 } : {};
    const worker = new Worker("bench", (job) => tasks[job.name](job.data), { connection, concurrency, ...safety });
    worker.on("error", (error) => console.error(error.message));
    process.once("SIGTERM", async () => {
      await worker.close(true);
      tally.flush();
      process.exit(0);
    });
  },
};

// The first calls of a producer open connections and load scripts; they are not measured.
const WARM = 5;
const UNUSED = 2e9;

async function warmUp(queue) {
  for (let i = 1; i <= WARM; i++) await queue.add("mark", { number: UNUSED - i });
}

const [command, ...rest] = process.argv.slice(2);
commands[command](...rest).catch((error) => {
  console.error(error);
  process.exit(1);
});
