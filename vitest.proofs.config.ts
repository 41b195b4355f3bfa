// The long proofs, which CI runs behind the suite: `npm run test:proofs`.

import { mergeConfig } from 'vitest/config';
import suite, { proofs } from './vitest.config.ts';

export default mergeConfig({ ...suite, test: { ...suite.test, include: [], exclude: [] } }, { test: { include: proofs } });
