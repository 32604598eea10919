#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The tool's man page and completions, from what its --help says.

tool_pages.py TOOL VERSION OUT      writes OUT/man/man1/NAME.1, OUT/bash-completion/completions/NAME, OUT/zsh/site-functions/_NAME
"""
import re
import subprocess
import sys
from pathlib import Path


def help_of(tool, *words):
    return subprocess.run([tool, *words, '--help'], check=True, capture_output=True, text=True).stdout


def commands(tool):
    """(name, summary, operands, options, notes) of each command; an option is (short, long, value, text)."""
    found = []
    for name, summary in re.findall(r'^  (\S+)  +(\S.*)$', help_of(tool), re.M):
        text = help_of(tool, name)
        lines = text.split('\n')
        usage = re.sub(r'^usage: \S+ \S+ ?', '', lines[0]).replace('[options]', '').strip()
        options, notes, last = [], [], None
        for line in lines[2:]:
            option = re.match(r'  (?:-(\w), )?--([\w-]+)(?: (\S+))?(?:  +(.*))?$', line)
            if option:
                last = [option[1] or '', option[2], option[3] or '', option[4] or '']
                options.append(last)
            elif last and re.match(r'  ', line):
                last[3] += ' ' + line.strip()
            elif line.startswith('Exit codes'):
                break
            else:
                last = None if line.strip() else last
                notes.append(line)
        found.append((name, summary, usage, options, '\n'.join(notes).strip()))
    if not found:
        sys.exit('tool_pages.py: no commands in the output of --help')
    return found


def roff(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return re.sub(r"^([.'])", r'\\&\1', text, flags=re.M)


def man_page(name, version, found, help_text):
    out = [f'.\\" Written by scripts/tool_pages.py from {name} --help.', f'.TH {name.upper()} 1 "" "SwiftCodec {version}" "User Commands"',
           '.SH NAME', f'{roff(name)} \\- encode, decode and measure pictures with a neural codec', '.SH SYNOPSIS']
    for command, _, operands, options, _ in found:
        out += [f'.B {roff(name)} {command}', roff(operands) + (' [options]' if options else ''), '.br']
    out += ['.SH DESCRIPTION', roff('Pictures become bitstreams (.sci) and bitstreams pictures, with the model in the library or a model file. '
            'The same bitstream gives the same samples on every machine. A file name of - is standard input or output.'), '.SH COMMANDS']
    for command, summary, operands, options, notes in found:
        out += [f'.SS {command} {roff(operands)}', roff(summary)]
        for short, long, value, text in options:
            flags = (f'\\fB\\-{short}\\fR, ' if short else '') + f'\\fB\\-\\-{roff(long)}\\fR' + (f' \\fI{roff(value)}\\fR' if value else '')
            out += ['.TP', flags, roff(text)]
        if notes:
            out += ['.PP', roff(re.sub(r'\n+', '\n', notes))]
    codes = re.search(r'Exit codes: (.*)', help_text, re.S)
    if codes:
        out += ['.SH EXIT STATUS', roff(codes[1].strip().replace('\n', ' '))]
    return '\n'.join(out) + '\n'


def bash(name, found):
    function = '_' + name.replace('-', '_')
    cases = []
    for command, _, _, options, _ in found:
        words = ' '.join([f'--{o[1]}' for o in options] + [f'-{o[0]}' for o in options if o[0]] + ['--help'])
        cases.append(f'    {command}) options="{words}" ;;')
    names = ' '.join(c[0] for c in found)
    return f'''# bash completion for {name}, written by scripts/tool_pages.py
{function}() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} options=
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{names} --help" -- "$word"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{chr(10).join(cases)}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F {function} {name}
'''


def zsh(name, found):
    def quoted(text):
        return text.replace("'", "'\\''").replace('[', '\\[').replace(']', '\\]').replace(':', '\\:')
    lines = [f'#compdef {name}', f'# written by scripts/tool_pages.py', 'local -a commands', 'commands=(']
    lines += [f"  '{c[0]}:{quoted(c[1])}'" for c in found] + [')', 'if (( CURRENT == 2 )); then', "  _describe 'command' commands", '  return', 'fi',
              'local command=$words[2]', 'shift words', '(( CURRENT-- ))', 'case $command in']
    for command, _, _, options, _ in found:
        lines.append(f'  {command})')
        lines.append('    _arguments \\')
        for short, long, value, text in options:
            argument = f':{quoted(value)}:_files' if value else ''
            for flag in ([f'-{short}'] if short else []) + [f'--{long}']:
                lines.append(f"      '{flag}[{quoted(text)}]{argument}' \\")
        lines += ["      '*:file:_files'", '    ;;']
    return '\n'.join(lines + ['esac']) + '\n'


def main():
    tool, version, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    name = Path(tool).name
    found = commands(tool)
    for path, text in ((f'man/man1/{name}.1', man_page(name, version, found, help_of(tool))),
                       (f'bash-completion/completions/{name}', bash(name, found)), (f'zsh/site-functions/_{name}', zsh(name, found))):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
