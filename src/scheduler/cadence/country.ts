// Public holidays of a country, from `date-holidays`, an optional peer dependency: whoever names no country does not load it.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Horizon, NamedDay } from './calendar.ts';
import { dayMs, dayNumber, packedDate, yearOf } from './civil.ts';

/** What is used of the package; its own types would be needed to compile where it is not installed. */
interface HolidaySource {
  getHolidays(
    year: number,
  ): readonly { readonly date: string; readonly start: object; readonly end: object; readonly name: string; readonly type: string }[];
  getCountries(language?: string): Readonly<Record<string, string>>;
  getStates(country: string): Readonly<Record<string, string>> | undefined;
}

type HolidaySourceClass = new (country?: string, state?: string, region?: string) => HolidaySource;

/** How the package is found: a parameter, so that its absence can be tested. */
export type LoadModule = () => Promise<unknown>;

const loadInstalled: LoadModule = () => import(packageName);

/** Held in a variable: what is optional must not be resolved when this file is compiled. */
const packageName: string = 'date-holidays';

/** `JP`, `DE-BY`, `US-CA`: the public holidays within the horizon. Throws missing_dependency where the package is absent. */
export async function countryHolidays(code: string, horizon: Horizon, load: LoadModule = loadInstalled): Promise<NamedDay[]> {
  const Source = await sourceClass(load);
  const [country = '', state, region] = code.trim().split(/[-.]/);
  const countries = new Source().getCountries('en');
  const known = Object.keys(countries).find((key) => key.toUpperCase() === country.toUpperCase());
  if (known === undefined) throw unknownCountry(code, countries);
  const states = state === undefined ? undefined : (new Source().getStates(known) ?? {});
  if (state !== undefined && states !== undefined && states[state.toUpperCase()] === undefined) {
    throw new Diagnostic('invalid_value', `${countries[known]} has no part '${state}'`, {
      span: { start: 0, end: code.length },
      hint: Object.keys(states).length === 0 ? `write '${known}'` : `its parts: ${Object.keys(states).join(', ')}`,
    });
  }
  const source = new Source(known, state?.toUpperCase(), region?.toUpperCase());
  const days: NamedDay[] = [];
  for (let year = yearOf(packedDate(horizon.from)); year <= yearOf(packedDate(horizon.to)); year++) {
    for (const holiday of source.getHolidays(year)) {
      if (holiday.type !== 'public') continue;
      const first = dayNumber(Number(holiday.date.slice(0, 4)), Number(holiday.date.slice(5, 7)), Number(holiday.date.slice(8, 10)));
      const length = Math.max(1, Math.round((Number(holiday.end) - Number(holiday.start)) / dayMs));
      for (let day = first; day < first + length; day++)
        if (day >= horizon.from && day <= horizon.to) days.push({ day, name: holiday.name });
    }
  }
  return days;
}

async function sourceClass(load: LoadModule): Promise<HolidaySourceClass> {
  try {
    const loaded = (await load()) as { readonly default?: unknown };
    return (loaded.default ?? loaded) as HolidaySourceClass;
  } catch (cause) {
    throw missing(cause);
  }
}

function missing(cause: unknown): Diagnostic {
  return new Diagnostic('missing_dependency', '`country` needs the package date-holidays, which is not installed', {
    hint: 'npm install date-holidays@3, or list the days in `holidays`',
    cause,
  });
}

function unknownCountry(code: string, countries: Readonly<Record<string, string>>): Diagnostic {
  const wanted = code.trim().toLowerCase();
  const named = Object.entries(countries).find(([, name]) => name.toLowerCase() === wanted || name.toLowerCase().startsWith(wanted));
  return new Diagnostic('invalid_value', `there is no country '${code}'`, {
    span: { start: 0, end: code.length },
    hint:
      named === undefined ? "write a two-letter code, such as 'JP', or one with a part, such as 'DE-BY'" : `did you mean '${named[0]}'?`,
  });
}
