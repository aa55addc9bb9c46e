// A sample file for those who have none: plays of songs, the same ones each time.

const SONGS = [
  "Umbrella", "In The End", "Clocks", "Halo", "Hey Ya!", "Crazy In Love", "Mr. Brightside", "Rolling in the Deep",
  "Viva la Vida", "Hello, Goodbye", 'The "Sample" Song', "東京の夜",
];
const DAYS = 30;
const ROWS = 600;
const SEED = 20_240_101;
/** The same time each day, so that an interrupted upload of the sample continues. */
const MODIFIED = Date.UTC(2024, 0, 31);

export const SAMPLE_NAME = "sample_songs.csv";

/** The file. */
export function sampleFile() {
  const random = generator(SEED);
  const lines = ["Song,Date,Number of Plays"];
  for (let row = 0; row < ROWS; row += 1) {
    // The square makes the first songs the popular ones.
    const at = Math.floor(random() ** 2 * SONGS.length);
    const day = Math.floor(random() * DAYS);
    const date = new Date(Date.UTC(2024, 0, 1 + day)).toISOString().slice(0, 10);
    const plays = Math.floor((1 + random() * 200) * (1 + Math.sin((day + at) / 4) / 2));
    lines.push(`${quote(SONGS[at])},${date},${plays}`);
  }
  return new File([`${lines.join("\n")}\n`], SAMPLE_NAME, { type: "text/csv", lastModified: MODIFIED });
}

function quote(text) {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Numbers from 0 to 1 by the method mulberry32: the same ones for the same seed. */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
