// Changes of tasks, as the server sends them, for all tabs of the browser over one connection: browsers
// open six connections per server, and an event stream occupies one of them.

const CHANNEL = "live-tasks";
const LOCK = "live-tasks";
/** After how many milliseconds a stream that ended is opened again. */
const REOPEN = 2_000;

const subscribers = new Set();
const watchers = new Set();
let status = "connecting";
let channel = null;

/** Calls back with each task that changes, until the returned function is called. */
export function onTask(callback) {
  subscribers.add(callback);
  return () => subscribers.delete(callback);
}

/** The states that follow any other one: a stop is never taken back. */
const STOPS = ["stopping", "stopped"];

/**
 * Whether a task is shown later in its life than another time: events and answers overtake each other, and
 * `timestamp` is the time of the answer, which may be later than what it shows.
 */
export function isNewer(task, other) {
  const [stop, otherStop] = [STOPS.indexOf(task.state), STOPS.indexOf(other.state)];
  if (stop !== otherStop) return stop > otherStop;
  const [changed, otherChanged] = [changedAt(task), changedAt(other)];
  return changed === otherChanged ? task.timestamp >= other.timestamp : changed > otherChanged;
}

function changedAt({ created_at: created, queued_at: queued, started_at: started, finished_at: finished }) {
  return [queued, started, finished].reduce((last, at) => (at > last ? at : last), created);
}

/**
 * Calls back with `live`, `reconnecting` or `connecting`, now and at each change, until the returned
 * function is called. After `reconnecting`, a screen reads its data again once it is `live`.
 */
export function onStatus(callback) {
  watchers.add(callback);
  callback(status);
  return () => watchers.delete(callback);
}

/** Starts to listen. */
export function start() {
  if (!navigator.locks || !window.BroadcastChannel) {
    connect(() => {});
    return;
  }
  channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => receive(data);
  // The tab with the lock has the connection; when it is closed, the next one gets the lock.
  navigator.locks.request(LOCK, () => new Promise(() => connect((data) => channel.postMessage(data))));
  channel.postMessage({ ask: true });
}

let isConnected = false;

function receive(message) {
  if (message.task) publish(message.task);
  if (message.status) setStatus(message.status);
  if (message.ask && isConnected) channel.postMessage({ status });
}

function connect(share) {
  isConnected = true;
  const announce = (next) => {
    setStatus(next);
    share({ status: next });
  };
  const open = () => {
    const source = new EventSource("/v1/tasks/events");
    source.onopen = () => announce("live");
    source.addEventListener("task", (event) => {
      const task = JSON.parse(event.data);
      publish(task);
      share({ task });
    });
    source.onerror = () => {
      announce("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(open, REOPEN);
    };
  };
  open();
}

function publish(task) {
  for (const callback of [...subscribers]) callback(task);
}

function setStatus(next) {
  if (next === status) return;
  status = next;
  for (const callback of [...watchers]) callback(status);
}
