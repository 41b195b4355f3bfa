// A pipeline in one transaction (`atomic: true`), and the dry run of any: its steps one after another on one connection.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Execution } from '../../../scheduler/ports.ts';
import type { PipelineJob, PipelineParts } from './job.ts';

export async function executeAtomic(_parts: PipelineParts, _job: PipelineJob, _signal: AbortSignal): Promise<Execution> {
  throw new Diagnostic('unsupported', 'not yet');
}
