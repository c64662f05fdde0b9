# Completion of mapsr for bash: eval "$(mapsr completion bash)"
_mapsr() {
    local line=${COMP_LINE:0:COMP_POINT} word cut=''
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    local current=${words[${#words[@]} - 1]}
    # readline takes the part after the = for a word of its own
    [[ $COMP_WORDBREAKS == *=* && $current == *=* ]] && cut=${current%=*}=
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$cut"}")
    done < <("${words[0]}" completion words "${words[@]:1}" 2> /dev/null)
    # no space after what waits for more
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace 2> /dev/null
    return 0
}
complete -o default -F _mapsr mapsr
