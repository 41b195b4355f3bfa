// cuckoo completion bash | zsh | fish: made from the commands themselves, so that it knows no more and no less than they do.

import { Diagnostic } from '../../core/diagnostic.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import { type AskedCommand, commandProgram } from './commandLine.ts';

interface Completable {
  readonly name: string;
  readonly description: string;
  readonly options: readonly string[];
  readonly verbs: readonly string[];
}

/** Commands whose first operand is a schedule's name. */
const takeNames = ['job_status', 'enable_job', 'disable_job', 'run_job', 'history'];
const namesQuery = "cuckoo -c 'SELECT name FROM cron.schedules' --format csv 2>/dev/null | tail -n +2";

export async function printCompletion({ operands: [shell] }: AskedCommand): Promise<ExitCode> {
  const commands = commandProgram(() => undefined).commands.map(
    (command): Completable => ({
      name: command.name(),
      description: command.description(),
      options: [command, ...command.commands].flatMap((one) => one.options.flatMap((option) => option.long ?? [])),
      verbs: command.commands.map((one) => one.name()),
    }),
  );
  const texts = { bash, zsh, fish };
  if (shell !== 'bash' && shell !== 'zsh' && shell !== 'fish') {
    throw new Diagnostic('usage', `there is no completion for ${shell}`, { hint: 'one of bash, zsh, fish' });
  }
  process.stdout.write(texts[shell](commands));
  return exitCodes.done;
}

function bash(commands: readonly Completable[]): string {
  const cases = commands.map(({ name, options, verbs }) => `    ${name}) words="${[...verbs, ...options].join(' ')}" ;;`);
  return `# cuckoo completion bash > /etc/bash_completion.d/cuckoo
_cuckoo() {
  local current=\${COMP_WORDS[COMP_CWORD]} words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')}" -f -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  case \${COMP_WORDS[1]} in
    ${takeNames.join('|')}) [[ $current == -* ]] || words="$words $(${namesQuery})" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _cuckoo cuckoo
`;
}

function zsh(commands: readonly Completable[]): string {
  const quoted = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(':', '\\:');
  return `#compdef cuckoo
# cuckoo completion zsh > "\${fpath[1]}/_cuckoo"
_cuckoo() {
  local -a commands
  commands=(
${commands.map(({ name, description }) => `    '${name}:${quoted(description)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _files
    return
  fi
  case $words[2] in
${commands.map(({ name, options, verbs }) => `    ${name}) compadd -- ${[...verbs, ...options].join(' ')} ;;`).join('\n')}
  esac
  case $words[2] in
    ${takeNames.join('|')}) compadd -- \${(f)"$(${namesQuery})"} ;;
  esac
}
_cuckoo "$@"
`;
}

function fish(commands: readonly Completable[]): string {
  const quoted = (text: string): string => text.replaceAll("'", "\\'");
  const lines = commands.flatMap(({ name, description, options, verbs }) => [
    `complete -c cuckoo -n __fish_use_subcommand -a ${name} -d '${quoted(description)}'`,
    ...verbs.map((verb) => `complete -c cuckoo -n '__fish_seen_subcommand_from ${name}' -a ${verb}`),
    ...[...new Set(options)].map((option) => `complete -c cuckoo -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
  ]);
  return `# cuckoo completion fish > ~/.config/fish/completions/cuckoo.fish
${lines.join('\n')}
complete -c cuckoo -n '__fish_seen_subcommand_from ${takeNames.join(' ')}' -f -a "(${namesQuery})"
`;
}
