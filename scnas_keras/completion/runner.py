"""Scripts by which shells complete `scnas`: tables of all commands' flags, and a function that looks them up."""

import dataclasses
import textwrap

from scnas_keras.commands import commands
from scnas_keras.completion.config import BASH, CompletionConfig
from scnas_keras.declarations import config_of
from scnas_keras.flag_values import plain_type
from scnas_keras.options import tasks

_BASH = """\
_scnas() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" command="${{COMP_WORDS[1]}}" flags= values= name= word
  word="${{line##*[[:space:]]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{commands}" -- "$word")); return; fi
{tables}
  if [[ "$word" == --*=* ]]; then
    name="${{word%%=*}}"
    word="${{word#*=}}"
    case "$command$name" in
{values}
      *) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
    COMPREPLY=($(compgen -W "$values" -- "$word"))
  else
    compopt -o nospace
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  fi
}}
complete -F _scnas scnas
"""
_ZSH = """\
#compdef scnas
_scnas() {{
  local command="$words[2]" flags= values=
  if (( CURRENT == 2 )); then compadd -- {commands}; return; fi
{tables}
  if compset -P 1 '*='; then
    case "$command${{IPREFIX%=}}" in
{values}
      *) _files; return ;;
    esac
    compadd -- ${{=values}}
  else
    compadd -S '' -- ${{=flags}}
  fi
}}
if [ "$funcstack[1]" = _scnas ]; then _scnas "$@"; else compdef _scnas scnas; fi
"""


def run_completion(config: CompletionConfig) -> str:
    """The script of a shell."""
    flags, values = [], []
    for name in commands():
        own = [_flag(field) for field in dataclasses.fields(config_of(name))]
        flags.append(f'{name}) flags="{" ".join([*own, "--flagfile=", "--quiet", "--help"])}" ;;')
        for field in dataclasses.fields(config_of(name)):
            words = tasks() if field.name == "task" else field.metadata["choices"] or ()
            if words:
                values.append(f'{name}--{field.name}) values="{" ".join(map(str, words))}" ;;')
    tables = "\n".join(['case "$command" in', *(f"  {line}" for line in flags), "esac"])
    script = _BASH if config.shell == BASH else _ZSH
    return script.format(
        commands=" ".join(commands()), tables=textwrap.indent(tables, "  "), values=textwrap.indent("\n".join(values), "      ")
    )


def _flag(field: dataclasses.Field) -> str:
    return f"--{field.name}" if plain_type(field.type) is bool else f"--{field.name}="
