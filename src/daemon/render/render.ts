// A Result in the mode that was asked for. Each family of modes has a file of its own; this one only knows which.

import { Diagnostic } from '../../core/diagnostic.ts';
import { writeIpc } from '../../engine/arrow.ts';
import type { Result } from '../../engine/result.ts';
import { renderBox, renderDuckbox } from './box.ts';
import { renderDelimited } from './delimited.ts';
import { renderJson } from './json.ts';
import { renderLine } from './line.ts';
import { renderMarkdown } from './markdown.ts';
import type { Mode } from './mode.ts';
import type { RenderOptions, Sink } from './sink.ts';

export async function render(result: Result, mode: Mode, sink: Sink, options: RenderOptions = {}): Promise<void> {
  switch (mode) {
    case 'duckbox':
      return await renderDuckbox(result, sink, options);
    case 'box':
      return await renderBox(result, sink, options);
    case 'line':
      return await renderLine(result, sink, options);
    case 'markdown':
      return await renderMarkdown(result, sink, options);
    case 'csv':
      return await renderDelimited(result, sink, { ...options, separator: ',' });
    case 'tsv':
      return await renderDelimited(result, sink, { ...options, separator: '\t' });
    case 'json':
      return await renderJson(result, sink, { lines: false });
    case 'jsonlines':
      return await renderJson(result, sink, { lines: true });
    case 'arrow':
      return await renderArrow(result, sink);
    default:
      return mode satisfies never;
  }
}

async function renderArrow(result: Result, sink: Sink): Promise<void> {
  if (sink.columns !== undefined) {
    throw new Diagnostic('usage', 'arrow is bytes, which a terminal cannot show', {
      hint: "send it to a file: .once result.arrow in the shell, or cuckoo --format arrow -c 'SELECT ..' > result.arrow",
    });
  }
  for await (const piece of writeIpc(result, 'stream')) await sink.write(piece);
}
