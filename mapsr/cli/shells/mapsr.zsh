#compdef mapsr
# Completion of mapsr for zsh: eval "$(mapsr completion zsh)" after compinit
_mapsr() {
    local -a found waiting
    found=(${(f)"$(${words[1]} completion words "${(@)words[2,CURRENT-1]}" "$PREFIX" 2> /dev/null)"})
    if (( ! ${#found} )); then
        compset -P '*='
        _files
        return
    fi
    waiting=(${(M)found:#*[=.]})
    (( ${#waiting} )) && compadd -S '' -- $waiting
    found=(${found:#*[=.]})
    (( ${#found} )) && compadd -- $found
}
compdef _mapsr mapsr
