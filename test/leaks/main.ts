// `npm run test:leaks -- [runs] [kinds ..]`

import { setup as build } from '../support/build.ts';
import { leaks } from './leaks.ts';

const [runs = '10000', ...kinds] = process.argv.slice(2);
build();
const { states, warm, parts, empty, closed, leftFiles } = await leaks({ runs: Number(runs), kinds });
console.log(JSON.stringify(states));
console.table({ empty, warm, ...Object.fromEntries(parts.map((part, at) => [`part ${at + 1}`, part])), closed });
console.log('left in the folder:', leftFiles);
