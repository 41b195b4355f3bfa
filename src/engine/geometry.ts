// A GEOMETRY comes as well-known binary (WKB, ISO codes for Z and M) and is shown as well-known text, as DuckDB shows it.

const names = ['', 'POINT', 'LINESTRING', 'POLYGON', 'MULTIPOINT', 'MULTILINESTRING', 'MULTIPOLYGON', 'GEOMETRYCOLLECTION'];
const dimensionNames = ['', ' Z', ' M', ' ZM'];

/** `POINT Z (1 2 3)`; hexadecimal where the bytes are not of a kind known here. */
export function geometryText(wkb: Uint8Array): string {
  try {
    return new Reader(wkb).geometry({ inside: undefined });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return Buffer.from(wkb).toString('hex');
  }
}

class Reader {
  readonly #view: DataView;
  #at = 0;
  #littleEndian = true;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** `inside` names the kind that holds this one: the parts of a MULTIPOINT are written without their own name. */
  geometry({ inside }: { readonly inside: string | undefined }): string {
    this.#littleEndian = this.#view.getUint8(this.#at++) === 1;
    const code = this.#count();
    const name = names[code % 1000];
    const dimensions = dimensionNames[Math.floor(code / 1000)];
    if (name === undefined || name === '' || dimensions === undefined) throw new RangeError('unknown geometry');
    const width = 2 + dimensions.trim().length;
    const body = this.#body(name, width);
    if (inside !== undefined && inside !== 'GEOMETRYCOLLECTION') return body ?? 'EMPTY';
    return `${name}${dimensions} ${body ?? 'EMPTY'}`;
  }

  #body(name: string, width: number): string | undefined {
    switch (name) {
      case 'POINT': {
        const point = this.#point(width);
        return point === undefined ? undefined : `(${point})`;
      }
      case 'LINESTRING':
        return list(this.#points(width));
      case 'POLYGON':
        return list(this.#repeat(() => list(this.#points(width)) ?? 'EMPTY'));
      default:
        return list(this.#repeat(() => unwrapped(this.geometry({ inside: name }), name)));
    }
  }

  #points(width: number): string[] {
    return this.#repeat(() => this.#point(width) ?? 'EMPTY');
  }

  #repeat(read: () => string): string[] {
    return Array.from({ length: this.#count() }, read);
  }

  /** A point of NaNs is the empty one. */
  #point(width: number): string | undefined {
    const numbers = Array.from({ length: width }, () => {
      const number = this.#view.getFloat64(this.#at, this.#littleEndian);
      this.#at += 8;
      return number;
    });
    return numbers.every(Number.isNaN) ? undefined : numbers.map(coordinate).join(' ');
  }

  #count(): number {
    const count = this.#view.getUint32(this.#at, this.#littleEndian);
    this.#at += 4;
    // A count that the bytes cannot hold would fill the memory before the end is met.
    if (count > this.#view.byteLength && count > 3007) throw new RangeError('unknown geometry');
    return count;
  }
}

function list(parts: readonly string[]): string | undefined {
  return parts.length === 0 ? undefined : `(${parts.join(', ')})`;
}

/** The points of a MULTIPOINT stand without parentheses of their own. */
function unwrapped(text: string, holder: string): string {
  return holder === 'MULTIPOINT' && text.startsWith('(') ? text.slice(1, -1) : text;
}

function coordinate(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e16 ? String(value) : value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}
