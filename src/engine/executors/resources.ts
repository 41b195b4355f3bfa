// `resources: { cpu: 50, memory: 512MB, nice: 10, io: idle }`, as it is stored, and as tasks know it.

import type { JsonObject } from '../../core/jsonValue.ts';
import type { Resources } from './executor.ts';

export function resourcesOf(stored: JsonObject | undefined): Resources {
  const { cpu, memory, nice, io } = stored ?? {};
  return {
    ...(typeof cpu === 'number' ? { cpu } : {}),
    ...(typeof memory === 'number' ? { memoryBytes: memory } : {}),
    ...(typeof nice === 'number' ? { nice } : {}),
    ...(typeof io === 'string' ? { io } : {}),
  };
}
