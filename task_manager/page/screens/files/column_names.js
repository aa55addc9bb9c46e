// Which column of a file is meant by a name, as the server decides it: engines/csv_input/src/column_names.rs is the
// source of the aliases and of their order.

const ALIASES = {
  email: [
    "e-mail", "mail", "email address", "e-mail address", "mail address", "email_address", "emailaddress",
    "e-mail-adresse", "mailadresse", "adresse e-mail", "courriel",
  ],
  name: ["full name", "full_name", "fullname", "full-name", "display name", "vollständiger name", "nom complet", "nom"],
};

/** The position of the column that a name means; -1 if the file has none, or several that fit equally well. */
export function positionOf(names, column) {
  const lower = column.toLowerCase();
  const found = positions(names, (name) => name === column) ?? alike(names, lower) ?? first(names, ALIASES[lower] ?? []);
  return found?.length === 1 ? found[0] : -1;
}

function positions(names, isMeant) {
  const found = names.flatMap((name, at) => (isMeant(name) ? [at] : []));
  return found.length > 0 ? found : null;
}

function alike(names, lower) {
  return positions(names, (name) => name.toLowerCase() === lower);
}

function first(names, aliases) {
  const alias = aliases.find((other) => alike(names, other));
  return alias === undefined ? null : alike(names, alias);
}
