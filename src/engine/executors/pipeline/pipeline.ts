// A run of a pipeline: step by step, or all of it in one transaction.

import type { Execution } from '../../../scheduler/ports.ts';
import { executeAtomic } from './atomic.ts';
import type { PipelineJob, PipelineParts } from './job.ts';
import { executeStepwise } from './stepwise.ts';

export function executePipeline(parts: PipelineParts, job: PipelineJob, signal: AbortSignal): Promise<Execution> {
  const { ending, pipeline } = job;
  if (ending === undefined || pipeline.atomic) return executeAtomic(parts, job, signal);
  return executeStepwise(parts, job, ending, signal);
}
