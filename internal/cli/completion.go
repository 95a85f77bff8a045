package cli

import (
	"fmt"
	"slices"
	"strings"
)

// withValues are all flags that take a value, of any command: a word behind one is no operand.
func withValues() []string {
	var all []string
	for _, name := range append(commandNames(), "") {
		for _, f := range flagsOf(name) {
			if f.value != "" && !slices.Contains(all, "-"+f.name) {
				all = append(all, "-"+f.name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// bashCompletion is the script for bash. The daemon is completed where the first word is no command.
func bashCompletion() string {
	var cases, messages strings.Builder
	for _, name := range commandNames() {
		fmt.Fprintf(&cases, "    %s) flags='%s' ;;\n", name, flagWords(name))
		if which, ok := namesMessages[name]; ok {
			fmt.Fprintf(&messages, "    %s) which='%s' ;;\n", name, which)
		}
	}
	return fmt.Sprintf(`# bash completion for spoolgore
_spoolgore() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags which dir= i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    [[ $cur == -* ]] && COMPREPLY=($(compgen -W '%[1]s' -- "$cur")) ||
      COMPREPLY=($(compgen -W '%[2]s' -- "$cur") $(compgen -d -- "$cur"))
    return
  fi
  case $prev in
    -state) COMPREPLY=($(compgen -W '%[3]s' -- "$cur")); return ;;
    -smtptls) COMPREPLY=($(compgen -W '%[4]s' -- "$cur")); return ;;
    %[5]s) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case $command in
    help) COMPREPLY=($(compgen -W '%[2]s' -- "$cur")); return ;;
    completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur")); return ;;
%[6]s    *) flags='%[1]s' ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    return
  fi
  for ((i = 2; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      %[5]s) ((i++)) ;;
      -*) ;;
      *) dir=${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
%[7]s    *) which=none ;;
  esac
  if [[ -z $dir || $which == none ]]; then
    COMPREPLY=($(compgen -d -- "$cur"))
    return
  fi
  local name # not by compgen -W, which would obey a name like $(reboot)
  while IFS= read -r name; do
    [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
  done < <("${COMP_WORDS[0]}" list -names $which "${dir/#\~/$HOME}" 2>/dev/null
    [[ $command == @(show|delete|retry) ]] && "${COMP_WORDS[0]}" list -names -failed "${dir/#\~/$HOME}" 2>/dev/null)
}
complete -o filenames -o bashdefault -F _spoolgore spoolgore
`, flagWords(""), strings.Join(commandNames(), " "), valuesOf["state"], valuesOf["smtptls"],
		strings.Join(withValues(), "|"), cases.String(), messages.String())
}

// zshCompletion is the script for zsh, which serves it by a function of its own that bash's completion cannot replace:
// descriptions are shown.
func zshCompletion() string {
	var all, flags, messages strings.Builder
	for _, name := range commandNames() {
		fmt.Fprintf(&all, "    %s\n", zshQuote(name+":"+about(name)))
		fmt.Fprintf(&flags, "    %s) flags=(%s) ;;\n", name, zshFlags(name))
		if which, ok := namesMessages[name]; ok {
			fmt.Fprintf(&messages, "    %s) which=(%s) ;;\n", name, which)
		}
	}
	return fmt.Sprintf(`#compdef spoolgore
# zsh completion for spoolgore
_spoolgore() {
  local -a all flags which names operands
  local command=$words[2] i
  all=(
%[1]s  )
  if ((CURRENT == 2)); then
    if [[ $words[2] == -* ]]; then
      flags=(%[2]s)
      _describe -o flag flags
    else
      _describe command all
      _files -/
    fi
    return
  fi
  case $words[CURRENT-1] in
    -state) compadd -- %[3]s; return ;;
    -smtptls) compadd -- %[4]s; return ;;
    %[5]s) _files; return ;;
  esac
  case $command in
    help) _describe command all; return ;;
    completion) compadd bash zsh fish; return ;;
%[6]s    *) flags=(%[2]s) ;;
  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o flag flags
    return
  fi
  for ((i = 3; i < CURRENT; i++)); do
    case $words[i] in
      %[5]s) ((i++)) ;;
      -*) ;;
      *) operands+=(${(Q)~words[i]}) ;;
    esac
  done
  case $command in
%[7]s    *) _files -/; return ;;
  esac
  if ((!$#operands)); then
    _files -/
    return
  fi
  names=(${(f)"$($words[1] list -names $which $operands[1] 2>/dev/null)"})
  [[ $command == (show|delete|retry) ]] && names+=(${(f)"$($words[1] list -names -failed $operands[1] 2>/dev/null)"})
  compadd -a names
}
compdef _spoolgore spoolgore
`, all.String(), zshFlags(""), valuesOf["state"], valuesOf["smtptls"], strings.Join(withValues(), "|"), flags.String(), messages.String())
}

// zshFlags are the flags of a command with what they are about, for _describe.
func zshFlags(name string) string {
	var all []string
	for _, f := range flagsOf(name) {
		all = append(all, zshQuote("-"+f.name+":"+f.about))
	}
	return strings.Join(all, " ")
}

func zshQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fishCompletion is the script for fish.
func fishCompletion() string {
	var b strings.Builder
	names := strings.Join(commandNames(), " ")
	fmt.Fprintf(&b, `# fish completion for spoolgore
function __spoolgore_dir
  set -l words (commandline -opc)[3..-1]
  set -l skip 0
  for word in $words
    if test $skip = 1
      set skip 0
    else if contains -- $word %s
      set skip 1
    else if not string match -q -- '-*' $word
      echo $word
      return 0
    end
  end
  return 1
end
function __spoolgore_no_command
  set -l words (commandline -opc)
  test (count $words) -lt 2; or not contains -- $words[2] %s
end
function __spoolgore_names
  set -l dir (__spoolgore_dir); or return
  spoolgore list -names $argv $dir 2>/dev/null
end
complete -c spoolgore -f
complete -c spoolgore -n 'not __spoolgore_dir; and not __fish_seen_subcommand_from help completion' -a '(__fish_complete_directories)'
`, strings.Join(withValues(), " "), names)
	for _, f := range flagsOf("") {
		fmt.Fprintf(&b, "complete -c spoolgore -n __spoolgore_no_command -o %s%s -d %s\n", f.name, fishValue(f), fishQuote(f.about))
	}
	for _, name := range commandNames() {
		fmt.Fprintf(&b, "complete -c spoolgore -n __fish_use_subcommand -a %s -d %s\n", name, fishQuote(about(name)))
		in := fmt.Sprintf("'__fish_seen_subcommand_from %s'", name)
		for _, f := range flagsOf(name) {
			fmt.Fprintf(&b, "complete -c spoolgore -n %s -o %s%s -d %s\n", in, f.name, fishValue(f), fishQuote(f.about))
		}
		if which, ok := namesMessages[name]; ok {
			fmt.Fprintf(&b, "complete -c spoolgore -n '__fish_seen_subcommand_from %s; and __spoolgore_dir' -a '(__spoolgore_names %s)'\n", name, which)
			if which == "" {
				fmt.Fprintf(&b, "complete -c spoolgore -n '__fish_seen_subcommand_from %s; and __spoolgore_dir' -a '(__spoolgore_names -failed)'\n", name)
			}
		}
	}
	fmt.Fprintf(&b, "complete -c spoolgore -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n")
	fmt.Fprintf(&b, "complete -c spoolgore -n '__fish_seen_subcommand_from help' -a '%s'\n", names)
	return b.String()
}

// fishValue says that a flag takes a value, and which.
func fishValue(f documented) string {
	switch {
	case valuesOf[f.name] != "":
		return " -x -a '" + valuesOf[f.name] + "'"
	case f.value != "":
		return " -r"
	}
	return ""
}

func fishQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
