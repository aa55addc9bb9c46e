// A sample file for those who have none: plays of songs, the same ones each time.

const SONGS = [
  ["Umbrella", 180], ["In The End", 150], ["Clocks", 120], ["Halo", 100], ["Hey Ya!", 80], ["Crazy In Love", 60],
  ["Mr. Brightside", 45], ["Rolling in the Deep", 40], ["Viva la Vida", 30], ["Hello, Goodbye", 20], ['The "Sample" Song', 10],
];
const DAYS = 30;
const SEED = 20_240_101;
/** The same time each day, so that an interrupted upload of the sample continues. */
const MODIFIED = Date.UTC(2024, 0, 31);

export const SAMPLE_NAME = "sample_songs.csv";

/** The file: up to three rows for each song and day, more plays at weekends, and fashions that come and go. */
export function sampleFile() {
  const random = generator(SEED);
  const lines = ["Song,Date,Number of Plays"];
  for (let day = 0; day < DAYS; day += 1) {
    const date = new Date(Date.UTC(2024, 0, 1 + day));
    const weekend = [0, 6].includes(date.getUTCDay()) ? 1.4 : 1;
    for (const [at, [song, usual]] of SONGS.entries()) {
      const fashion = 1 + 0.6 * Math.sin(day / 6 + at * 2);
      for (let row = Math.floor(random() * 3); row >= 0; row -= 1) {
        const plays = Math.round(usual * weekend * fashion * (0.8 + random() * 0.4));
        lines.push(`${quote(song)},${date.toISOString().slice(0, 10)},${plays}`);
      }
    }
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
