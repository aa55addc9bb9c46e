// Locks tell the tabs of a browser which of them uploads a file. Browsers have them on secure pages only;
// without them each tab knows its own uploads.

const lockOf = (id) => `upload.${id}`;

/** Runs an upload with the lock of the file; resolves to `false`, without it, while another tab has the lock. */
export async function whileUploading(id, run) {
  const locked = async (lock) => {
    if (!lock) return false;
    await run();
    return true;
  };
  return navigator.locks ? navigator.locks.request(lockOf(id), { ifAvailable: true }, locked) : locked({});
}

/** Whether a tab uploads the file. */
export async function isUploading(id) {
  if (!navigator.locks) return false;
  const { held } = await navigator.locks.query();
  return held.some(({ name }) => name === lockOf(id));
}
