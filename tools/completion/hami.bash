# SPDX-License-Identifier: Apache-2.0
# Completion of hami for bash.
_hami() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} i
    # The shell splits --flag=value at the =.
    if [ "$cur" = = ]; then
        cur=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(hami __complete 2>/dev/null)" -- "$cur")
        return
    fi
    # Behind the command of `hami run` its own completion is due.
    if [ "$verb" = run ]; then
        for ((i = 2; i < COMP_CWORD; i++)); do
            if [ "${COMP_WORDS[i]}" = -- ]; then
                if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); fi
                return
            fi
        done
    fi
    case $before in
    -p) [ "$verb" = run ] && mapfile -t COMPREPLY < <(compgen -W "binpack spread numa topology" -- "$cur") ;;
    --policy) mapfile -t COMPREPLY < <(compgen -W "binpack spread numa topology" -- "$cur") ;;
    --core-policy) mapfile -t COMPREPLY < <(compgen -W "default force disable" -- "$cur") ;;
    --gpu-policy | --gpu-scheduler-policy)
        mapfile -t COMPREPLY < <(compgen -W "binpack spread numa mutex topology-aware" -- "$cur") ;;
    --node-policy | --node-scheduler-policy) mapfile -t COMPREPLY < <(compgen -W "binpack spread" -- "$cur") ;;
    --mode) mapfile -t COMPREPLY < <(compgen -W "hami-core mig mps" -- "$cur") ;;
    --qos) mapfile -t COMPREPLY < <(compgen -W "best-effort fixed-share burst-share" -- "$cur") ;;
    --app-class) mapfile -t COMPREPLY < <(compgen -W "online offline" -- "$cur") ;;
    --events) mapfile -t COMPREPLY < <(compgen -W "none failures all" -- "$cur") ;;
    --log-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$cur") ;;
    --leader-elect-as) mapfile -t COMPREPLY < <(compgen -W "follow own" -- "$cur") ;;
    --priority) mapfile -t COMPREPLY < <(compgen -W "0 1" -- "$cur") ;;
    --engine) mapfile -t COMPREPLY < <(compgen -W "kernel copy" -- "$cur") ;;
    --vendor) mapfile -t COMPREPLY < <(compgen -W "$(hami __complete --vendor 2>/dev/null)" -- "$cur") ;;
    --print) mapfile -t COMPREPLY < <(compgen -W "managed-resources admission-policy" -- "$cur") ;;
    --*-file | --*_file | --log | --kubeconfig | --snapshot | --check) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    --sim) mapfile -t COMPREPLY < <(compgen -f -W "t4 2xa100-40g 8xh200 gb10 a100-mig" -- "$cur") ;;
    *)
        local words
        words=$(hami __complete "$verb" 2>/dev/null)
        case $verb in
        resize | stop | suspend | resume | wait | events | doctor)
            words+=" $(hami ps 2>/dev/null | awk 'NR > 1 {print $1; if ($2 != "-") print $2}')"
            ;;
        help) words=$(hami __complete 2>/dev/null) ;;
        explain) [ "$COMP_CWORD" -eq 2 ] && words+=" pod fit" ;;
        yaml) [ "$COMP_CWORD" -eq 2 ] && words+=" pod deployment job" ;;
        sim)
            if [ "$COMP_CWORD" -eq 2 ]; then
                words="top log fault profiles"
            else
                words=$(hami __complete sim "${COMP_WORDS[2]}" 2>/dev/null)
                [ "${COMP_WORDS[2]}" = fault ] && words+=" xid lost hang slow-copies thermal temperature clear"
                [ "${COMP_WORDS[2]}" = profiles ] && words+=" t4 2xa100-40g 8xh200 gb10 a100-mig"
            fi
            ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$cur")
        ;;
    esac
}
complete -o default -F _hami hami
