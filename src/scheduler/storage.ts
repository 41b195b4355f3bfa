// How much room the disk must have. A checkpoint writes what is in the write-ahead log into the file beside it, and one that
// finds no room stops the whole database; so nothing is opened below twice the log, which is what the log and the file need
// together when it has grown to what it is now once more, and never below what a log may grow to before its next checkpoint.

const leastBytes = 64 * 1024 * 1024;

/** With less than this free, nothing is opened. */
export function neededBytes(walBytes: number): number {
  return Math.max(leastBytes, 2 * walBytes);
}
