// Requests that replace each other, and requests that repeat while the page is seen.

/**
 * A function that runs work with an AbortSignal, and ends the work before it. Its `abort()` ends the last.
 * Work that was ended has no effect; other errors go to `fail`.
 */
export function latest(fail) {
  let controller = null;
  const run = async (work) => {
    controller?.abort();
    const mine = (controller = new AbortController());
    try {
      await work(mine.signal);
    } catch (problem) {
      if (!mine.signal.aborted) fail(problem);
    }
  };
  run.abort = () => controller?.abort();
  return run;
}

/** Calls `work` now and then again some seconds after each end, while the page is seen; returns how to stop. */
export function repeat(work, seconds) {
  let timer = null;
  let isStopped = false;
  let isRunning = false;
  const run = async () => {
    if (isRunning) return;
    isRunning = true;
    clearTimeout(timer);
    if (!document.hidden) await work();
    isRunning = false;
    if (!isStopped) timer = setTimeout(run, seconds * 1000);
  };
  const onVisible = () => document.hidden || run();
  document.addEventListener("visibilitychange", onVisible);
  run();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisible);
  };
}

/** A function that calls `work` once for many calls within a time. */
export function gathered(work, milliseconds) {
  let timer = null;
  const call = () => {
    timer ??= setTimeout(() => {
      timer = null;
      work();
    }, milliseconds);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}
