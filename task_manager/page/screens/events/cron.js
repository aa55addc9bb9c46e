// Cron expressions in plain words. What the words cannot say is shown as the expression.

const NAMED = { "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * SUN", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *" };
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = ["", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/** `Every hour`, `Monday to Friday at 08:00`; `null` for what has no simple words. */
export function cronWords(cron) {
  const fields = (NAMED[cron.trim().toLowerCase()] ?? cron).trim().split(/\s+/);
  if (fields.length !== 5) return null;
  const [minute, hour, day, month, weekday] = fields;
  const clock = clockWords(minute, hour);
  const days = dayWords(day, weekday);
  const months = month === "*" ? "" : listWords(month, MONTHS);
  if (clock === null || days === null || months === null) return null;
  const isEveryDay = days === "" && clock.startsWith("at ");
  const when = [months && `in ${months}`, clock];
  const words = [isEveryDay ? "every day" : days, ...(clock.startsWith("at ") ? when : when.reverse())].filter(Boolean).join(" ");
  return words[0].toUpperCase() + words.slice(1);
}

function clockWords(minute, hour) {
  const [everyMinutes, everyHours] = [stepOf(minute), stepOf(hour)];
  if (minute === "*" && hour === "*") return "every minute";
  if (everyMinutes && hour === "*") return `every ${everyMinutes} minutes`;
  if (everyMinutes && isRange(hour)) return `every ${everyMinutes} minutes between ${hourText(hour.split("-")[0])} and ${two(hour.split("-")[1])}:59`;
  if (!isNumber(minute)) return null;
  const past = Number(minute) === 0 ? "" : ` at minute ${Number(minute)}`;
  if (hour === "*") return `every hour${past}`;
  if (everyHours) return `every ${everyHours} hours${past}`;
  if (isRange(hour)) return `every hour${past} from ${hour.split("-").map(hourText).join(" to ")}`;
  const hours = hour.split(",");
  return hours.every(isNumber) ? `at ${joined(hours.map((one) => `${two(one)}:${two(minute)}`))}` : null;
}

function dayWords(day, weekday) {
  if (day === "*" && weekday === "*") return "";
  if (day === "*") {
    const words = listWords(weekday, DAYS);
    return words && (/[,-]/.test(weekday) ? words : `every ${words}`);
  }
  if (weekday !== "*") return null;
  if (day.toUpperCase() === "L") return "on the last day of the month";
  if (!day.split(",").every(isNumber)) return null;
  return `on day${day.includes(",") ? "s" : ""} ${joined(day.split(",").map(Number))} of the month`;
}

/** `MON-FRI` as `Monday to Friday`, `1,15` as `January and …`. */
function listWords(field, names) {
  const nameOf = (text) => (isNumber(text) ? names[Number(text)] : names.find((name) => name && name.slice(0, 3).toUpperCase() === text.toUpperCase()));
  const parts = field.split(",").map((part) => part.split("-").map(nameOf));
  if (parts.flat().some((name) => !name)) return null;
  return joined(parts.map((part) => part.join(" to ")));
}

function stepOf(field) {
  return /^\*\/(\d+)$/.exec(field)?.[1];
}

function isNumber(text) {
  return /^\d+$/.test(text);
}

function isRange(text) {
  return /^\d+-\d+$/.test(text);
}

function two(value) {
  return String(Number(value)).padStart(2, "0");
}

function hourText(hour) {
  return `${two(hour)}:00`;
}

function joined(texts) {
  return texts.length > 1 ? `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}` : String(texts[0]);
}
