// What README tells to write in a frontend, as it stands there.

import { readFileSync } from 'node:fs';

import ts from 'typescript';

const README = new URL('../../README.md', import.meta.url);
const DEFAULT_TRANSPORT = /^const transport = .*$/m;

// Returns what the code in the section "The frontend" exports, with its first or its second
// transport, given what it names from elsewhere: { useChat, PARLEY, ... }.
export const frontendOf = (given, transport) => {
  const [, section] = readFileSync(README, 'utf8').split('\n## The frontend\n');
  const blocks = section.split('\n## ')[0].matchAll(/^```tsx\n(.*?)^```$/gms);
  const [page, workflowTransport] = Array.from(blocks, ([, code]) => code);
  const written =
    transport === 'workflow' ? page.replace(DEFAULT_TRANSPORT, () => workflowTransport) : page;
  const { outputText } = ts.transpileModule(written, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  });
  const exported = {};
  new Function('exports', ...Object.keys(given), outputText)(exported, ...Object.values(given));
  return exported;
};
