# fish completion for hosted-engine-cleanup; made from the catalogue of commands, do not edit.
complete -c hosted-engine-cleanup -f
complete -c hosted-engine-cleanup -l help -d 'show help'
complete -c hosted-engine-cleanup -l yes -d 'do not ask'
complete -c hosted-engine-cleanup -l force -d 'do not ask, go on outside of local maintenance, and leave storage connected that can\'t be disconnected; never with the engine on this host'
