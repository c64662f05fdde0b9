# Completion of mapsr for fish: mapsr completion fish > ~/.config/fish/completions/mapsr.fish
function __mapsr_found
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -g __mapsr_words ($words[1] completion words $words[2..-1] "$current" 2> /dev/null)
    test (count $__mapsr_words) -gt 0
end
# where nothing is found a path may stand, which fish completes itself
complete -c mapsr -n __mapsr_found -f -a '$__mapsr_words'
